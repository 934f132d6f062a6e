"""A cross-encoder grown out of a bi-encoder: query and passage are read apart first and together last."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

Features = dict[str, Any]

COSINE, MAXSIM, OVERLAP, JOINT_COSINE = 0, 1, 2, 3
"""The places of the similarities among the features: three of the texts read apart, one of them read together."""
SIMILARITIES = 4
SHARPNESS = 20.0
"""What similarities are multiplied by as features, so that weights of about 1 separate passages and are learned as
quickly as the others."""


class JointReader(InputModule):  # type: ignore[misc]
    """Reads (query, passage) pairs into the features that a linear head makes a score of.

    The layers of a BERT-type bi-encoder read both texts apart, as the bi-encoder itself does. Copies of its last
    `joint_layers` layers read them together: every token attends to both texts. What it gives of a pair:

    - the cosine of the two texts read apart, which is the bi-encoder's own score;
    - MaxSim of their tokens, and the overlap: which share of the query's tokens the passage has. Both weigh a query's
      token by how much it matters, which is learned from its embedding, and leave special tokens out. The overlap
      is what a lexical search adds to a dense one;
    - the cosine of the two texts read together; the element-wise product of their mean vectors; the first
      token's vector.

    With a head that uses the first three alone it is about a hybrid search, so training starts at that quality
    rather than at random, which is why a few thousand judged queries are enough for a cross-encoder.

    Reading apart first: MacAvaney et al., Efficient Document Re-Ranking for Transformers by Precomputing Term
    Representations, SIGIR 2020; Gao et al., Modularized Transfomer-based Ranking Framework, EMNLP 2020. MaxSim:
    Khattab and Zaharia, ColBERT, SIGIR 2020.
    """

    config_file_name: ClassVar[str] = "joint_reader_config.json"
    config_keys: ClassVar[list[str]] = ["joint_layers", "max_seq_length"]
    save_in_root: ClassVar[bool] = True
    tokenizer: PreTrainedTokenizerBase

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        joint_layers: int,
        max_seq_length: int,
        joint: nn.ModuleList | None = None,
    ) -> None:
        super().__init__()
        layers = model.encoder.layer
        self.model = model
        self.tokenizer = tokenizer
        self.joint_layers = joint_layers
        self.max_seq_length = max_seq_length
        self.joint = joint or nn.ModuleList(copy.deepcopy(layer) for layer in layers[-joint_layers:])
        self.segment = nn.Embedding(2, model.config.hidden_size)
        nn.init.zeros_(self.segment.weight)
        self.importance = nn.Linear(model.config.hidden_size, 1)
        nn.init.zeros_(self.importance.weight)
        nn.init.zeros_(self.importance.bias)
        special = sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
        self.register_buffer("special", torch.tensor(special), persistent=False)

    def train(self, mode: bool = True) -> JointReader:
        """Layers that are not trained read as they do in use: dropout there would only blur what is learned from,
        and takes most of the time on a CPU."""
        super().train(mode)
        if not any(weights.requires_grad for weights in self.model.parameters()):
            self.model.eval()
        return self

    @property
    def width(self) -> int:
        """How many features a pair has."""
        return SIMILARITIES + 2 * int(self.model.config.hidden_size)

    def preprocess(
        self, inputs: Sequence[Sequence[str] | str], prompt: str | None = None, **kwargs: Any
    ) -> Features:
        """Tokens of the pairs, the passage cut where both are longer than `max_seq_length` together.

        Each text has its own first and last token and its own positions, as it has when it is encoded alone.
        """
        # The trainer's model card counts the tokens of single texts.
        pairs = [(text, "") if isinstance(text, str) else text for text in inputs]
        queries = self.tokenizer(
            [query for query, _ in pairs], truncation=True, max_length=self.max_seq_length // 2
        )
        passages = self.tokenizer(
            [passage for _, passage in pairs], truncation=True, max_length=self.max_seq_length
        )
        rows = []
        for query, passage in zip(queries["input_ids"], passages["input_ids"], strict=True):
            room = self.max_seq_length - len(query)
            if len(passage) > room:
                passage = [*passage[: room - 1], passage[-1]]
            rows.append((query, passage))
        length = max(len(query) + len(passage) for query, passage in rows)
        ids = torch.full((len(rows), length), self.tokenizer.pad_token_id or 0)
        types = torch.zeros_like(ids)
        mask = torch.zeros_like(ids)
        for row, (query, passage) in enumerate(rows):
            end = len(query) + len(passage)
            ids[row, :end] = torch.tensor([*query, *passage])
            types[row, len(query) : end] = 1
            mask[row, :end] = 1
        return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}

    def forward(self, features: Features, **kwargs: Any) -> Features:
        """Adds `sentence_embedding` (pairs, width), where a Dense head finds it."""
        ids, types, mask = features["input_ids"], features["token_type_ids"], features["attention_mask"]
        there = mask.bool()
        queries, passages = there & (types == 0), there & (types == 1)
        positions = torch.arange(ids.shape[1], device=ids.device) - queries.sum(1, keepdim=True) * types
        hidden = self.model.embeddings(input_ids=ids, position_ids=positions.clamp(min=0))
        together = additive(there[:, None, None, :].expand(-1, 1, ids.shape[1], -1), hidden.dtype)
        apart = additive(
            (there[:, None, :] & (types[:, :, None] == types[:, None, :]))[:, None], hidden.dtype
        )
        layers = self.model.encoder.layer
        branch = hidden
        for number, layer in enumerate(layers):
            if number == len(layers) - self.joint_layers:
                branch = hidden
            hidden = run(layer, hidden, apart)
        branch = branch + self.segment(types)
        for layer in self.joint:
            branch = run(layer, branch, together)
        cosine = torch.cosine_similarity(mean(hidden, queries), mean(hidden, passages))
        query, passage = (
            nn.functional.normalize(mean(branch, tokens), dim=-1) for tokens in (queries, passages)
        )
        product = query * passage
        words = ~(ids[..., None] == self.special).any(-1)
        weights = nn.functional.softplus(self.importance(self.model.embeddings.word_embeddings(ids))[..., 0])
        weights = weights * (queries & words)
        similarities = [
            cosine,
            maxsim(hidden, weights, passages & words),
            overlap(ids, weights, passages),
            product.sum(-1),
        ]
        features["sentence_embedding"] = torch.cat(
            [
                SHARPNESS * torch.stack(similarities, dim=-1),
                product * product.shape[-1] ** 0.5,
                nn.functional.normalize(branch[:, 0], dim=-1),
            ],
            dim=-1,
        )
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.model.config.save_pretrained(output_path)
        self.save_config(output_path)
        self.save_tokenizer(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> JointReader:
        folder = Path(model_name_or_path) / subfolder
        config = cls.load_config(str(folder))
        empty = AutoModel.from_config(AutoConfig.from_pretrained(folder), add_pooling_layer=False)
        reader = cls(empty, AutoTokenizer.from_pretrained(folder), **config)
        return cls.load_torch_weights(str(folder), model=reader)  # type: ignore[no-any-return]


def run(layer: nn.Module, hidden: Tensor, mask: Tensor) -> Tensor:
    """One layer's output; older layers wrap it into a tuple."""
    out = layer(hidden, attention_mask=mask)
    return out[0] if isinstance(out, tuple) else out


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where attention is allowed, the least number elsewhere; a row that allows nothing stays finite."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(
        ~allowed, torch.finfo(dtype).min
    )


def mean(hidden: Tensor, tokens: Tensor) -> Tensor:
    """(pairs, D) the mean of the tokens' vectors."""
    weights = tokens.to(hidden.dtype)[..., None]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def maxsim(hidden: Tensor, weights: Tensor, passages: Tensor) -> Tensor:
    """(pairs,) each query token's best cosine with a passage token, averaged by the `weights` (pairs, length)."""
    unit = nn.functional.normalize(hidden, dim=-1)
    cosines = (unit @ unit.transpose(1, 2)).masked_fill(~passages[:, None, :], -1.0)
    best: Tensor = (cosines.amax(-1) * weights).sum(1) / weights.sum(1).clamp(min=1e-6)
    return best


def overlap(ids: Tensor, weights: Tensor, passages: Tensor) -> Tensor:
    """(pairs,) the share of the `weights` (pairs, length) whose tokens are among the passage's."""
    there = ((ids[:, :, None] == ids[:, None, :]) & passages[:, None, :]).to(weights.dtype).amax(-1)
    found: Tensor = (weights * there).sum(1) / weights.sum(1).clamp(min=1e-6)
    return found
