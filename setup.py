"""The compiled kernels; everything else about the package is in pyproject.toml.

The extensions are optional: where they cannot be compiled the package still installs and uses its NumPy
kernels, which give the same scores more slowly (`leanseek doctor` says which ones are in use). N-grams alone need
theirs.
"""

import sys

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

# A fused multiply-add rounds once where NumPy rounds twice: the kernels must agree to the bit.
OPTIONS = ["/O2", "/fp:precise"] if sys.platform == "win32" else ["-O3", "-ffp-contract=off"]

setup(
    ext_modules=[
        Pybind11Extension(f"leanseek.{name}", [source], cxx_std=17, extra_compile_args=OPTIONS, optional=True)
        for name, source in (
            ("_native", "native/bm25.cpp"),
            ("_scan", "native/scan.cpp"),
            ("_ngrams", "native/ngrams.cpp"),
            ("_terms", "native/terms.cpp"),
        )
    ]
)
