"""Relevance where nobody trained it: each collection is judged by a model of all the others.

    python benchmarks/relevance.py scifact:train cranfield:test cisi:test … [--foreign cranfield cosqa cisi vaswani]

For every collection and mode: PR-AUC, precision at 95 % recall, and calibration, of the model that has not seen it,
with the rate of relevant documents as learned and as estimated from the lists, beside the untrained controls. A
bootstrap over queries gives the interval of the difference in PR-AUC from the z score. Collections with the same name
but another split are left out together. Queries of the --foreign collections are put to each index: the share for
which nothing is returned, at the threshold that keeps 95 % of what is relevant to the index's own.

Indexes stay in --out. The documents' vectors come from the vector cache once they are there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leanseek.cli.output import progress_bar
from leanseek.encode import DEFAULT_MODEL
from leanseek.eval.collections import open_collection
from leanseek.eval.relevance.judged_lists import JudgedQueries
from leanseek.eval.relevance.relevance_result import Pool, field_shift, other_queries, pooled, raised
from leanseek.eval.relevance.relevance_scores import controls, empty_share, measure
from leanseek.indexing.creation import make_plan
from leanseek.numbers import zscore
from leanseek.searcher.relevance.features import LEAST_SPREAD, LIST_DEPTH
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import Judged, Level, Provenance, RelevanceModel
from leanseek.train.relevance.adapter import MODES, gathered, lowest_level, mean_usual, open_material
from leanseek.train.relevance.list_fit import Field, Tried, area, fit_curve, try_shapes
from leanseek.train.relevance.material import Material, chosen_queries
from leanseek.types import BoolArray, Float64Array

DATA = Path(os.environ.get("LEANSEEK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data" / "beir"))
DRAWS = 100


@dataclass(frozen=True)
class Row:
    """One collection in one mode, judged by a model of the others."""

    collection: str
    mode: str
    queries: int
    pr_auc: float
    low: float
    high: float
    p_at_r95: float
    ece: float
    ece_top10: float
    ece_plain: float
    ece_top10_plain: float
    controls: dict[str, tuple[float, float]]
    platt: tuple[float, float]
    foreign: dict[str, float]
    curve: str


def without(name: str, fields: Sequence[Field]) -> list[int]:
    """The fields of other collections than that of `name` (as `scifact:train`)."""
    return [row for row, field in enumerate(fields) if field.name.partition(":")[0] != name.partition(":")[0]]


def interval(pool: Pool, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of what the adapter's PR-AUC exceeds the z score's by, queries drawn with replacement."""
    rng = np.random.default_rng(seed)
    zscores = [zscore(scores, least=LEAST_SPREAD) for scores in pool.scores]
    found = []
    for _ in range(DRAWS):
        rows = rng.integers(0, len(zscores), len(zscores))
        relevant: BoolArray = np.concatenate([pool.relevant[row] for row in rows])
        ours: Float64Array = np.concatenate([pool.probabilities[row] for row in rows])
        theirs: Float64Array = np.concatenate([zscores[row] for row in rows])
        found.append(area(relevant, ours) - area(relevant, theirs))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def judged(
    model: RelevanceModel,
    material: Material,
    queries: JudgedQueries,
    mode: Judged,
    strangers: dict[str, JudgedQueries],
    draws: bool,
) -> Row:
    """The row of one collection."""
    here = model.at(material.snapshot.state.settings.background)
    pool = pooled(here, material.snapshot, queries, mode, LIST_DEPTH, None)
    shift = field_shift(here, pool, mode)
    known = raised(pool, shift)
    relevant = np.concatenate(pool.relevant)
    places = np.concatenate([np.arange(len(scores)) for scores in pool.scores])
    count = len(pool.scores)
    plain = measure(np.concatenate(pool.probabilities), relevant, places, count, True)
    ours = measure(np.concatenate(known.probabilities), relevant, places, count, True)
    others = {
        control.name: measure(control.scores, relevant, places, count, control.probable)
        for control in controls(pool.scores, pool.relevant)
    }
    low, high = interval(pool) if draws else (np.nan, np.nan)
    foreign = {}
    for name, wanted in strangers.items():
        if name == material.name.partition(":")[0]:
            continue
        found = pooled(here, material.snapshot, wanted, mode, LIST_DEPTH, None)
        foreign[name] = empty_share(
            [float(one.max(initial=0.0)) for one in found.probabilities], plain.threshold
        )
    curve = here.hybrid if mode == "hybrid" else here.dense
    assert isinstance(curve, ListCurve)
    assert ours.ece is not None and ours.ece_top10 is not None
    assert plain.ece is not None and plain.ece_top10 is not None
    platt = others["platt"]
    assert platt.ece is not None and platt.ece_top10 is not None
    return Row(
        material.name,
        mode,
        count,
        ours.pr_auc,
        low,
        high,
        ours.p_at_r95,
        ours.ece,
        ours.ece_top10,
        plain.ece,
        plain.ece_top10,
        {
            name: (found.pr_auc, found.p_at_r95)
            for name, found in others.items()
            if name not in ("platt", "isotonic")
        },
        (platt.ece, platt.ece_top10),
        foreign,
        f"rank {curve.rank:g} lead {curve.lead:g} lexical {curve.lexical:g} matched {curve.matched:g}",
    )


def show(rows: Sequence[Row]) -> None:
    """Print the table of one mode, and what it comes to."""
    print(f"\n{rows[0].mode}\n")
    print(
        "| left out | PR-AUC | z score | difference (95 %) | best control | P@R95 / z's | ECE | first ten |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        z, z_precision = row.controls["z score"]
        name, (best, _) = max(row.controls.items(), key=lambda found: found[1][0])
        print(
            f"| {row.collection} | {row.pr_auc:.3f} | {z:.3f} | {row.pr_auc - z:+.3f} ({row.low:+.3f} to "
            f"{row.high:+.3f}) | {best:.3f} {name} | {row.p_at_r95 / z_precision:.2f} | "
            f"{row.ece:.4f} ({row.ece_plain:.4f}, Platt {row.platt[0]:.4f}) | "
            f"{row.ece_top10:.3f} ({row.ece_top10_plain:.3f}, Platt {row.platt[1]:.3f}) |"
        )
    gains = [row.pr_auc - row.controls["z score"][0] for row in rows]
    behind = [row.pr_auc - max(area for area, _ in row.controls.values()) for row in rows]
    means = {name: np.mean([row.controls[name][0] for row in rows]) for name in rows[0].controls}
    print(
        f"\nmean PR-AUC {np.mean([row.pr_auc for row in rows]):.4f}, controls "
        + ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        + f"; over the z score {np.mean(gains):+.4f}, least {min(gains):+.4f}; behind the best control at most "
        f"{min(behind):+.4f}; ECE {np.mean([row.ece for row in rows]):.4f}, first ten "
        f"{np.mean([row.ece_top10 for row in rows]):.3f}"
    )
    for row in rows:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in row.foreign.items())
        print(f"  {row.collection}: {row.curve}; nothing returned for queries of {shares}")
    every = [share for row in rows for share in row.foreign.values()]
    if every:
        print(f"  in the mean nothing for {np.mean(every):.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("collections", nargs="+", metavar="COLLECTION:SPLIT")
    parser.add_argument("--foreign", nargs="*", default=[])
    parser.add_argument("--encoder", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--no-intervals", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    plan = make_plan(encoder=given.encoder, dense="flat")
    assert plan.encoder is not None
    rows: dict[Judged, list[Row]] = {mode: [] for mode in MODES}
    with progress_bar(False) as progress:
        opened = []
        for spec in given.collections:
            name, _, part = spec.partition(":")
            opened.append(
                open_material(open_collection(str(DATA / name)), part, plan, given.out, True, progress)
            )
        asked = [chosen_queries(material, 0) for material in opened]
        strangers = {
            name: first(other_queries(open_collection(str(DATA / name)), plan.encoder), 100)
            for name in given.foreign
        }
        usual = mean_usual(opened, asked)
        fields = {mode: gathered(opened, asked, mode, usual, progress) for mode in MODES}
        tried: dict[Judged, Tried] = {mode: try_shapes(fields[mode], mode, progress) for mode in MODES}
        for mode in MODES:
            for row, material in enumerate(opened):
                others = without(material.name, fields[mode])
                learned = [fields[mode][other] for other in others]
                curve = fit_curve(learned, tried[mode].best(others))
                level = Level(lowest_level([fields["dense"][other] for other in others]), LIST_DEPTH)
                origin = Provenance(tuple(field.name for field in learned), (), "all", 0, 0)
                model = RelevanceModel(
                    plan.encoder.fingerprint,
                    {"dense": 0.0, "hybrid": 0.0},
                    origin,
                    curve,
                    curve,
                    usual,
                    level,
                )
                rows[mode].append(
                    judged(model, material, asked[row], mode, strangers, not given.no_intervals)
                )
                progress(f"left out ({mode})", row + 1, len(opened))
    for mode in MODES:
        show(rows[mode])
    if given.json:
        given.json.write_text(json.dumps([vars(row) for mode in MODES for row in rows[mode]], indent=1))


def first(queries: JudgedQueries, most: int) -> JudgedQueries:
    """The first so many of them."""
    return queries.take(range(min(most, len(queries.texts))))


if __name__ == "__main__":
    main()
