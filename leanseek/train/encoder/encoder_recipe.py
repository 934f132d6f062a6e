"""How an encoder is trained: from which model, by which loss and teacher, how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from leanseek.encode import DEFAULT_MODEL
from leanseek.errors import UsageError
from leanseek.train.fitting import Schedule

Loss: TypeAlias = Literal["margin-mse", "infonce"]
"""`margin-mse`: a teacher's margins between relevant and other passages (Hofstätter et al., arXiv:2010.02666);
`infonce`: the relevant passage among all of a batch, without a teacher."""

TEACHER: Final = "interpolated:cross-encoder"
"""The re-ranker that teaches: with the hybrid search's own score, from which a dense encoder learns what words tell."""

COSINE_SCALE: Final = 20.0
"""What a cosine is multiplied by, so that a softmax over it can be sharp."""
KL_WEIGHT: Final = 0.1


@dataclass(frozen=True, slots=True)
class EncoderRecipe(Schedule):
    """How a dense encoder is trained.

    `teacher` is a re-ranker's name; the loss `infonce` asks none. `ssl` is the weight of a loss without judgments: the
    title and the text of a document are to get vectors near each other. In use the encoder reads as many tokens as its
    base, whatever `max_tokens` are.

    Raises UsageError for what is out of range.
    """

    base: str = DEFAULT_MODEL
    loss: Loss = "margin-mse"
    teacher: str = TEACHER
    ssl: float = 0.0
    batch: int = field(default=16, kw_only=True)
    learning_rate: float = field(default=2e-5, kw_only=True)
    max_tokens: int = field(default=128, kw_only=True)

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if self.loss not in get_args(Loss):
            raise UsageError(f"'{self.loss}' is no loss; choose from: {', '.join(get_args(Loss))}")
        if not self.ssl >= 0.0:
            raise UsageError(f"the weight of the loss without judgments is {self.ssl}; it must be 0 or more")

    @property
    def scored_by(self) -> str | None:
        """The teacher, if the loss asks one."""
        return self.teacher if self.loss == "margin-mse" else None


@dataclass(frozen=True, slots=True)
class SparseRecipe(EncoderRecipe):
    """How a learned sparse encoder is trained: `EncoderRecipe`, with a price for terms.

    `base` is a model with the head of a masked-language model; empty: the packaged one. The prices are the weights of
    the FLOPS regularisers (Paria et al., ICLR 2020) of documents and queries, which grow to their whole over the first
    third of the training.
    """

    base: str = ""
    document_price: float = 3e-5
    query_price: float = 5e-5

    def __post_init__(self) -> None:
        EncoderRecipe.__post_init__(self)
        for what, price in (("documents", self.document_price), ("queries", self.query_price)):
            if not price >= 0.0:
                raise UsageError(f"the price of the terms of {what} is {price}; it must be 0 or more")
        if self.ssl:
            raise UsageError("the loss without judgments is for dense encoders; leave it out")
