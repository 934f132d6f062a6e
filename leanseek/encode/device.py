"""Devices by name: whether one is there, and the precision that models have on it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Literal, TypeAlias

from leanseek.errors import MissingPackageError, UsageError

Half: TypeAlias = Literal["bfloat16", "float16"]

_MULTIPLIES_BFLOAT16, _MULTIPLIES_FLOAT16 = 8, 7
"""The major compute capabilities from which CUDA cards do: Ampere's and Volta's."""


def accelerated(device: str | None) -> bool:
    """Whether the name is that of another device than the CPU; None is not."""
    return device is not None and device.partition(":")[0] != "cpu"


def threads_wanted() -> int | None:
    """How many threads models run in by OMP_NUM_THREADS; None where it does not say, and all processors are used.

    It is what other libraries go by: a task of a cluster, for one, has a single processor.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else None


def may_have_accelerator() -> bool:
    """Whether torch could find one; importing torch to find out costs seconds."""
    return shutil.which("nvidia-smi") is not None or sys.platform == "darwin"


def check_device(name: str | None) -> None:
    """Raise UsageError for a device that is not there, MissingPackageError without torch; None and "cpu" always are.

    Names are torch's: `cpu`, `cuda`, `cuda:1` for the second card, `mps`.
    """
    if name is None or name == "cpu":
        return
    torch = installed_torch()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"'{name}' is not a device. Choose from: cpu, cuda, cuda:N for card number N, mps"
        ) from error
    if device.type == "cuda":
        _check_card(torch, name, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"{_unusable(name)}: torch finds no GPU of Apple's; cpu is always there")
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"{_unusable(name)}: {_first_sentence(error)}; cpu is always there") from error


def half_precision(device: Any) -> Half | None:
    """What encoders and re-rankers run in on a device, given as torch has it: None is float32.

    On CUDA cards it is what they multiply fast: bfloat16 from compute capability 8.0, float16 from 7.0. Older ones have
    no such instructions, or slow ones.
    """
    if device.type != "cuda":
        return None
    major, _ = installed_torch().cuda.get_device_capability(device)
    if major >= _MULTIPLIES_BFLOAT16:
        return "bfloat16"
    return "float16" if major >= _MULTIPLIES_FLOAT16 else None


def halved(model: Any) -> Half | Literal["float32"]:
    """The precision of a torch module, which is changed in place where its device has a half one."""
    half = half_precision(model.device)
    if half is None:
        return "float32"
    model.to(getattr(installed_torch(), half))
    return half


def describe_devices() -> list[str]:
    """The accelerators of this machine, each with what models run in on it; imports torch where there may be one."""
    if not may_have_accelerator():
        return []
    try:
        torch = installed_torch()
    except MissingPackageError:
        return []
    found = []
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_name(number)
        found.append(f"cuda:{number} {card}, {half_precision(torch.device('cuda', number)) or 'float32'}")
    if torch.backends.mps.is_available():
        found.append("mps, float32")
    return found


def installed_torch() -> Any:
    """The module. Raises MissingPackageError where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError("Another device than the CPU", "torch", "encode") from error
    return torch


def _check_card(torch: Any, name: str, number: int) -> None:
    if torch.version.cuda is None and torch.version.hip is None:
        raise UsageError(
            f"{_unusable(name)}: torch {torch.__version__} was built without CUDA; cpu is always there. Install one "
            "with CUDA: pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
        )
    cards = torch.cuda.device_count()
    if not cards:
        raise UsageError(
            f"{_unusable(name)}: torch finds no CUDA card; cpu is always there. nvidia-smi shows whether the driver "
            "does"
        )
    if not 0 <= number < cards:
        there = "cuda:0" if cards == 1 else f"cuda:0 to cuda:{cards - 1}"
        raise UsageError(f"{_unusable(name)}: this machine has {there}")


def _unusable(name: str) -> str:
    return f"device '{name}' cannot be used"


def _first_sentence(error: BaseException) -> str:
    # torch goes on with all the devices that it could have been built for.
    return str(error).splitlines()[0].partition(". ")[0]
