"""What the model in a folder is for, by what its settings say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["cross-encoder", "decoder", "encoder", "unknown"]
"""`cross-encoder`: scores pairs of texts; `decoder`: writes texts; `encoder`: gives single texts vectors."""


def kind_of(folder: Path) -> Kind:
    """The kind of the model in the folder; `unknown` where its settings do not tell."""
    if (folder / "modules.json").is_file():
        wrapped = settings_in(folder / "config_sentence_transformers.json").get("model_type")
        return "cross-encoder" if wrapped == "CrossEncoder" else "encoder"
    architecture = str((settings_in(folder / "config.json").get("architectures") or [""])[0])
    if architecture.endswith("ForSequenceClassification"):
        return "cross-encoder"
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return "decoder"
    return "encoder" if architecture else "unknown"


def settings_in(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the loader tells more
    return found if isinstance(found, dict) else {}
