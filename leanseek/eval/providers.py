"""Measures by name (`nDCG@10`, `AP(rel=2)`, as in ir_measures, and PR-AUC) and the packages that compute them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from leanseek.errors import MissingPackageError, UsageError
from leanseek.eval.review_measures import ReviewMeasure, review_measure

if TYPE_CHECKING:
    import pandas
    from ir_measures import Measure, Provider

KNOWN: Final = (
    "nDCG, nDCG@k, AP, AP@k, RR, RR@k, P@k, R@k, Success@k, Judged@k, Rprec, Bpref, infAP, IPrec@recall, "
    "Compat, the set measures SetP, SetR, SetF, SetAP, PR-AUC, PR-AUC(pooled=True), and WSS@95, LastRel, R@10% of a "
    "review; with parameters as in AP(rel=2), nDCG(dcg='exp-log2')@10, P(judged_only=True)@5, SetF(beta=0.5)"
)
PROVIDERS: Final = ("pytrec_eval", "ranx")
_BUNDLED: Final = ("judged", "msmarco", "compat")
"""Parts of ir_measures itself, in Python, for what the two above lack, such as RR@k."""
_PACKAGES: Final = {"pytrec_eval": ("pytrec_eval-terrier", "pytrec_eval"), "ranx": ("ranx",)}
FAMILIES: Final = frozenset(
    "nDCG AP RR P R Success Judged Rprec Bpref infAP IPrec Compat SetP SetR SetF SetAP".split()
)
_NAME: Final = re.compile(r"(?P<family>[A-Za-z][\w-]*)(?P<arguments>\(.*\))?(?:@(?P<at>[^@]+))?")
_LISTED: Final = re.compile(r"(?:[^\s,(]|\([^)]*\))+")


@dataclass(frozen=True, slots=True)
class PrAuc:
    """The area under the precision-recall curve: the mean over the queries, or of all rankings together."""

    pooled: bool


AnyMeasure: TypeAlias = "Measure | PrAuc | ReviewMeasure"


def split_measures(text: str) -> tuple[str, ...]:
    """The names in a list with white space or commas between: "nDCG@10 R@100, RR@10"."""
    return tuple(_LISTED.findall(text))


def is_quality(name: str) -> bool:
    """Whether more is better: the judged share of a ranking describes the judgments, not the system, and LastRel is
    better the less it is."""
    return not name.strip().startswith(("Judged", "LastRel"))


def parse_measures(names: Sequence[str]) -> dict[str, AnyMeasure]:
    """Name → measure. Raises UsageError for an unknown name, listing the known ones, and MissingPackageError without
    ir_measures."""
    if isinstance(names, str):
        raise UsageError(f"measures is the string {names!r}; give a sequence of names, such as ['nDCG@10']")
    if not names:
        raise UsageError(f"no measure is named; known are {KNOWN}")
    return {name: _parse(name) for name in names}


def _parse(name: str) -> AnyMeasure:
    found = _NAME.fullmatch(name.strip())
    if found is None:
        raise UsageError(f"{name!r} is not the form of a measure, which is like nDCG@10; known are {KNOWN}")
    family, at = found["family"], found["at"]
    parameters = _parameters(name, found["arguments"] or "()")
    if family in ("PR-AUC", "PRAUC"):
        pooled = parameters.pop("pooled", False)
        if parameters or at is not None or not isinstance(pooled, bool):
            raise UsageError(f"{name!r}: PR-AUC takes no cut-off, and no parameter but pooled=True")
        return PrAuc(pooled)
    if (of_review := review_measure(name, family, dict(parameters), at)) is not None:
        return of_review
    measure = _library().measures.registry.get(family)
    if measure is None or measure.NAME not in FAMILIES:
        raise UsageError(f"the measure {name!r} is not known; known are {KNOWN}")
    if at is not None:
        parameters[measure.AT_PARAM] = _cut(name, at, measure.AT_PARAM)
    made: Measure = measure(**parameters)
    try:
        made.validate_params()
    except AssertionError as error:
        allowed = ", ".join(f"{key} ({about.desc})" for key, about in made.SUPPORTED_PARAMS.items())
        raise UsageError(f"the measure {name!r}: {_fault(error)}; its parameters are {allowed}") from None
    return made


def _fault(error: AssertionError) -> str:
    message = str(error)
    return "a parameter is missing, such as the k of P@k" if "<object object" in message else message


def _parameters(name: str, arguments: str) -> dict[str, object]:
    try:
        call = ast.parse(f"f{arguments}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError
        given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        raise UsageError(
            f"{name!r}: the parameters {arguments} cannot be read; write them as in AP(rel=2)"
        ) from None
    return {str(key): value for key, value in given.items()}


def _cut(name: str, at: str, parameter: str) -> int | float:
    """The number after the @: a rank from 1, or a recall between 0 and 1."""
    try:
        number = int(at) if parameter == "cutoff" else float(at)
    except ValueError:
        number = -1
    if parameter == "cutoff" and number < 1:
        raise UsageError(f"{name!r}: after the @ must be a rank, a whole number of at least 1")
    if parameter != "cutoff" and not 0 <= number <= 1:
        raise UsageError(f"{name!r}: after the @ must be a recall between 0 and 1")
    return number


class Part(NamedTuple):
    """A provider and the measures it computes."""

    provider: Provider
    measures: list[Measure]


def assign(measures: Iterable[Measure], provider: str | None) -> list[Part]:
    """Assign each measure to the first provider that has it: pytrec_eval where it is installed, then ir_measures'
    own, then ranx. `provider` excludes the other of the two packages.

    pytrec_eval alone has Bpref, infAP, IPrec, SetF, SetAP, `judged_only` and `gains`; ranx alone has
    nDCG(dcg='exp-log2').

    Raises UsageError for a provider, or a measure of that provider, that does not exist, and
    MissingPackageError where the one that is needed is not installed.
    """
    if provider is not None and provider not in PROVIDERS:
        raise UsageError(f"the provider {provider!r} is not known; it is one of {', '.join(PROVIDERS)}")
    names = (provider, *_BUNDLED) if provider else ("pytrec_eval", *_BUNDLED, "ranx")
    registry: Mapping[str, Provider] = _library().providers.registry
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
            # It uses negative grades as gains, where trec_eval has none.
            judged, ranked = _judgments_table(_at_least(0, qrels)), _rankings_table(rankings)
        for metric in part.provider.evaluator(part.measures, judged).iter_calc(ranked):
            yield metric.query_id, metric.measure, float(metric.value)


def describe(parts: Sequence[Part]) -> str:
    """The providers with their versions and measures."""
    listed = []
    for part in parts:
        name = part.provider.NAME
        package = f"{name} {_version(_PACKAGES[name])}" if name in _PACKAGES else f"its own {name}"
        listed.append(f"{package} ({', '.join(map(str, part.measures))})")
    return f"ir_measures {_version(('ir_measures', 'ir-measures'))}: {'; '.join(listed)}"


def _library() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingPackageError("measuring", "ir_measures", "eval") from error
    return ir_measures


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
    # ranx needs columns of objects, which pandas 3 no longer makes of strings by itself.
    return pandas.DataFrame(
        {
            "query_id": pandas.Series(queries, dtype=object),
            "doc_id": pandas.Series(documents, dtype=object),
            value: values,
        }
    )
