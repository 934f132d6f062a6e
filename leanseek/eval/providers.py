"""Who computes a measure: pytrec_eval, or another provider of ir_measures with the same values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from leanseek.errors import MissingPackageError, UsageError

if TYPE_CHECKING:
    import pandas
    from ir_measures import Measure, Provider

PROVIDERS: Final = ("pytrec_eval", "ranx")
_BUNDLED: Final = ("judged", "msmarco", "compat")
"""Parts of ir_measures itself, in Python: what the two above lack, RR@k among it."""
_PACKAGES: Final = {"pytrec_eval": ("pytrec_eval-terrier", "pytrec_eval"), "ranx": ("ranx",)}


class Part(NamedTuple):
    """A provider and the measures it computes."""

    provider: Provider
    measures: list[Measure]


def assign(measures: Iterable[Measure], provider: str | None) -> list[Part]:
    """Each measure to the first provider that has it: pytrec_eval where it is installed, then what is part of
    ir_measures, then ranx. `provider` makes it that one, without the other.

    pytrec_eval alone has Bpref, infAP, IPrec, SetF, SetAP, `judged_only` and `gains`; ranx alone has
    nDCG(dcg='exp-log2').

    Raises UsageError for a provider, or a measure of that provider, that does not exist, and
    MissingPackageError where the one that is needed is not installed.
    """
    if provider is not None and provider not in PROVIDERS:
        raise UsageError(f"the provider {provider!r} is not known; it is one of {', '.join(PROVIDERS)}")
    names = (provider, *_BUNDLED) if provider else ("pytrec_eval", *_BUNDLED, "ranx")
    registry = _registry()
    parts: dict[str, Part] = {}
    for measure in measures:
        able = [name for name in names if registry[name].supports(measure)]
        if not able:
            other = next((name for name in PROVIDERS if registry[name].supports(measure)), None)
            hint = f"; {other} does" if other else ""
            raise UsageError(f"{provider or 'no provider'} does not compute {measure}{hint}")
        ready = next((name for name in able if registry[name].is_available()), None)
        if ready is None:
            raise MissingPackageError(f"the measure {measure}", _PACKAGES[able[0]][0], "eval")
        parts.setdefault(ready, Part(registry[ready], [])).measures.append(measure)
    return list(parts.values())


def evaluate(
    parts: Sequence[Part],
    qrels: Mapping[str, Mapping[str, int]],
    rankings: Mapping[str, Mapping[str, float]],
) -> Iterable[tuple[str, Measure, float]]:
    """(query, measure, value) for every query of the rankings, each of which has judgments, and measure.

    The rankings must be without ties, for the providers break them in different ways.
    """
    for part in parts:
        judged: Any = qrels
        ranked: Any = rankings
        if part.provider.NAME == "pytrec_eval":
            # A grade below -1 makes it write outside its memory; all negative ones mean the same to it.
            judged = _at_least(-1, qrels)
        elif part.provider.NAME == "ranx":
            # It takes the gain of a negative grade as it stands, where trec_eval has none.
            judged, ranked = _judgments_table(_at_least(0, qrels)), _rankings_table(rankings)
        for metric in part.provider.evaluator(part.measures, judged).iter_calc(ranked):
            yield metric.query_id, metric.measure, float(metric.value)


def describe(parts: Sequence[Part]) -> str:
    """The providers with their versions and what each computes."""
    told = []
    for part in parts:
        name = part.provider.NAME
        measures = ", ".join(str(measure) for measure in part.measures)
        told.append(
            f"{name} {_version(_PACKAGES[name])} ({measures})"
            if name in _PACKAGES
            else f"its own {name} ({measures})"
        )
    return f"ir_measures {_version(('ir_measures', 'ir-measures'))}: {'; '.join(told)}"


def _registry() -> Mapping[str, Provider]:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingPackageError("measuring", "ir_measures", "eval") from error
    registry: Mapping[str, Provider] = ir_measures.providers.registry
    return registry


def _version(packages: Sequence[str]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "of unknown version"


def _at_least(lowest: int, qrels: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {
        query: {id: max(grade, lowest) for id, grade in judged.items()} for query, judged in qrels.items()
    }


def _judgments_table(qrels: Mapping[str, Mapping[str, int]]) -> pandas.DataFrame:
    rows = [(query, id, grade) for query, judged in qrels.items() for id, grade in judged.items()]
    return _table(rows, "relevance").assign(iteration="0")


def _rankings_table(rankings: Mapping[str, Mapping[str, float]]) -> pandas.DataFrame:
    return _table(
        [(query, id, score) for query, docs in rankings.items() for id, score in docs.items()], "score"
    )


def _table(rows: Sequence[tuple[str, str, float]], value: str) -> pandas.DataFrame:
    import pandas

    queries, documents, values = zip(*rows, strict=True)
    # ranx asks for columns of objects, and pandas 3 no longer makes such of strings by itself.
    return pandas.DataFrame(
        {
            "query_id": pandas.Series(queries, dtype=object),
            "doc_id": pandas.Series(documents, dtype=object),
            value: values,
        }
    )
