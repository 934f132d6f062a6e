"""The operations of all compatible interfaces."""

from __future__ import annotations

from typing import Final

from leanseek.serve.compatible.anserini import ANSERINI
from leanseek.serve.compatible.cohere import COHERE
from leanseek.serve.compatible.dify import DIFY
from leanseek.serve.compatible.openai import OPENAI
from leanseek.serve.compatible.tei import TEI
from leanseek.serve.operation import Operation

COMPATIBLE: Final[tuple[Operation, ...]] = (*OPENAI, *COHERE, *TEI, *ANSERINI, *DIFY)
