"""What encoders are fitted to, against sentence-transformers' own losses and plain arithmetic."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

B, P, D = 4, 3, 8


class Lookup(torch.nn.Module):  # type: ignore[misc]
    """Gives the vectors that come as features."""

    def forward(self, features: Any) -> Any:
        return {"sentence_embedding": features["vectors"]}


@pytest.fixture
def columns() -> list[Any]:
    torch.manual_seed(3)
    return [torch.randn(B, D, requires_grad=True) for _ in range(1 + P)]


def features(columns: list[Any]) -> list[Any]:
    return [{"vectors": column} for column in columns]


def test_infonce_is_the_ranking_loss_of_sentence_transformers(columns: list[Any]) -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from leanseek.train.encoder.losses import InfoNce

    expected = MultipleNegativesRankingLoss(Lookup(), scale=20.0)(features(columns), None)
    assert InfoNce(Lookup())(features(columns)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_passage_is_to_get_its_share_of_the_grades(columns: list[Any]) -> None:
    from leanseek.train.encoder.losses import InfoNce

    loss = InfoNce(Lookup())
    first = torch.tensor([[1.0, 0.0, 0.0]] * B)
    plain = loss(features(columns)).item()
    assert loss(features(columns), 3 * first).item() == pytest.approx(plain, rel=1e-5)
    unit = [torch.nn.functional.normalize(column, dim=1) for column in columns]
    shares, expected = (2 / 3, 1 / 3, 0.0), 0.0
    for row in range(B):
        cosines = [20.0 * (unit[0][row] @ other).item() for column in unit[1:] for other in column]
        total = math.log(sum(map(math.exp, cosines)))
        expected += sum(share * (total - cosines[place * B + row]) for place, share in enumerate(shares)) / B
    graded = torch.tensor([[2.0, 1.0, 0.0]] * B)
    assert loss(features(columns), graded).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("dot", [False, True])
def test_margins_are_those_of_sentence_transformers_and_the_divergence_a_plain_sum(
    columns: list[Any], dot: bool
) -> None:
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss
    from sentence_transformers.util import pairwise_cos_sim, pairwise_dot_score

    from leanseek.train.encoder.encoder_recipe import KL_WEIGHT
    from leanseek.train.encoder.losses import MarginMse

    labels = torch.randn(B, P) * 3

    def similarity(one: Any, other: Any) -> Any:
        return pairwise_dot_score(one, other) if dot else 20.0 * pairwise_cos_sim(one, other)

    margins = MarginMSELoss(Lookup(), similarity)(features(columns), labels[:, :1] - labels[:, 1:])
    divergence = 0.0
    for row in range(B):
        own = [similarity(columns[0], column)[row].item() for column in columns[1:]]
        p, q = ([math.exp(one) for one in scores] for scores in (labels[row].tolist(), own))
        p, q = ([one / sum(many) for one in many] for many in (p, q))
        divergence += sum(wanted * math.log(wanted / found) for wanted, found in zip(p, q, strict=True)) / B
    found = MarginMse(Lookup(), dot=dot)(features(columns), labels)
    assert found.item() == pytest.approx(margins.item() + KL_WEIGHT * divergence, rel=1e-4)


def test_a_model_with_the_teacher_s_margins_has_nothing_to_learn(columns: list[Any]) -> None:
    from leanseek.train.encoder.losses import MarginMse

    loss = MarginMse(Lookup(), dot=True)
    queries, passages = columns[0], torch.stack(columns[1:], 1)
    scores = torch.einsum("bd,bpd->bp", queries, passages).detach()
    assert loss(features(columns), scores + 5.0).item() == pytest.approx(0.0, abs=1e-6)
    assert loss(features(columns), -scores).item() > 1.0


def test_views_are_two_columns_more_and_drawn_together(columns: list[Any]) -> None:
    from leanseek.train.encoder.losses import InfoNce

    views = [torch.eye(B, D), torch.eye(B, D)]
    with_views, swapped = (
        InfoNce(Lookup(), views=0.5)(features([*columns, views[0], other])).item()
        for other in (views[1], views[1].flip(0))
    )
    plain = InfoNce(Lookup())(features(columns)).item()
    assert with_views == pytest.approx(plain, abs=1e-6)
    assert swapped == pytest.approx(plain + 0.5 * 20.0, rel=1e-4)
