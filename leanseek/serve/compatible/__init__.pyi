from .registry import COMPATIBLE as COMPATIBLE
