"""The compiled kernels; everything else about the package is in pyproject.toml.

The extension is optional: where it cannot be compiled the package still installs and uses its NumPy
kernels, which give the same scores more slowly (`leanseek doctor` says which ones are in use).
"""

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

setup(
    ext_modules=[
        Pybind11Extension(
            "leanseek._native",
            ["native/bm25.cpp"],
            cxx_std=17,
            optional=True,
        )
    ]
)
