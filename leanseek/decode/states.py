"""What a decoder has computed of some tokens, so that it need not be computed again: exactly, or in 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

_LEVELS = 127


class LayerStates(Protocol):
    """The keys and values of some tokens in each layer that was run."""

    @property
    def tokens(self) -> int:
        """How many tokens they are of."""
        ...

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        ...

    def layer(self, number: int) -> tuple[Any, Any]:
        """The keys and the values (g, n, d) of n tokens in a layer."""
        ...


class States(NamedTuple):
    """The `keys` and `values` (g, n, d) of n tokens in each layer that was run, as they were computed.

    A pass ends before the values of its deepest layer are used, so that of these only the first token's are kept.
    """

    keys: tuple[Any, ...]
    values: tuple[Any, ...]

    @property
    def tokens(self) -> int:
        """How many tokens they are of."""
        return int(self.keys[0].shape[1])

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        return size((*self.keys, *self.values))

    def layer(self, number: int) -> tuple[Any, Any]:
        """The keys and the values (g, n, d) of a layer."""
        return self.keys[number], self.values[number].expand(-1, self.tokens, -1)


class PackedStates(NamedTuple):
    """States in 8 bits: a number from -127 to 127 times a scale.

    Keys have a scale for each channel, because some channels are large in all tokens; values one for each token. (He et
    al.: "ZipCache", NeurIPS 2024; Liu et al.: "KIVI", ICML 2024.)
    """

    keys: tuple[Packed, ...]
    values: tuple[Packed, ...]

    @classmethod
    def of(cls, states: States) -> PackedStates:
        """Pack states. Rounding changes a number by at most 1 part in 250 of the largest that shares its scale."""
        return cls(
            tuple(packed(keys, (1,)) for keys in states.keys),
            tuple(packed(values, (0, 2)) for values in states.values),
        )

    @property
    def tokens(self) -> int:
        """How many tokens they are of."""
        return int(self.keys[0].codes.shape[1])

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        return size(part for one in (*self.keys, *self.values) for part in (one.codes, one.scale))

    def layer(self, number: int) -> tuple[Any, Any]:
        """The keys and the values (g, n, d) of a layer, in the precision that they were packed from."""
        return self.keys[number].unpacked(), self.values[number].unpacked().expand(-1, self.tokens, -1)


class Packed(NamedTuple):
    """A tensor in 8 bits: `codes`, the bfloat16 `scale` that they are multiplied by, and the product's `dtype`."""

    codes: Any
    scale: Any
    dtype: Any

    def unpacked(self) -> Any:
        """The numbers, to within their rounding."""
        return self.codes.to(self.dtype).mul_(self.scale.to(self.dtype))


def packed(numbers: Any, shared: tuple[int, ...]) -> Packed:
    """A tensor in 8 bits, whose numbers have one scale along the `shared` axes."""
    import torch

    exact = numbers.float()
    # Unlike float16, bfloat16 has the range of float32.
    scale = (exact.abs().amax(dim=shared, keepdim=True) / _LEVELS).bfloat16()
    steps = torch.where(scale > 0, scale, 1).float()
    codes = (exact / steps).round_().clamp_(-_LEVELS, _LEVELS).to(torch.int8)
    return Packed(codes, scale, numbers.dtype)


def size(tensors: Iterable[Any]) -> int:
    """How many bytes the numbers of some tensors take."""
    return sum(one.numel() * one.element_size() for one in tensors)
