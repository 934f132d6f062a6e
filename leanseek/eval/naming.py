"""The names of measures: `nDCG@10`, `AP(rel=2)`, as ir_measures writes them, and PR-AUC."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from leanseek.errors import MissingPackageError, UsageError

if TYPE_CHECKING:
    from ir_measures import Measure

KNOWN: Final = (
    "nDCG, nDCG@k, AP, AP@k, RR, RR@k, P@k, R@k, Success@k, Judged@k, Rprec, Bpref, infAP, IPrec@recall, "
    "Compat, the set measures SetP, SetR, SetF, SetAP, and PR-AUC, PR-AUC(pooled=True); with parameters as in "
    "AP(rel=2), nDCG(dcg='exp-log2')@10, P(judged_only=True)@5, SetF(beta=0.5)"
)
_FAMILIES: Final = frozenset(
    "nDCG AP RR P R Success Judged Rprec Bpref infAP IPrec Compat SetP SetR SetF SetAP".split()
)
_NAME: Final = re.compile(r"(?P<family>[A-Za-z][\w-]*)(?P<arguments>\(.*\))?(?:@(?P<at>[^@]+))?")
_LISTED: Final = re.compile(r"(?:[^\s,(]|\([^)]*\))+")


@dataclass(frozen=True, slots=True)
class PrAuc:
    """The area under the precision-recall curve: the mean over the queries, or of all rankings together."""

    pooled: bool


Asked: TypeAlias = "Measure | PrAuc"


def split_measures(text: str) -> tuple[str, ...]:
    """The names in a list with white space or commas between: "nDCG@10 R@100, RR@10"."""
    return tuple(_LISTED.findall(text))


def is_quality(name: str) -> bool:
    """Whether more of it is better: how much of a ranking was judged tells of the judgments, not of the system."""
    return not name.strip().startswith("Judged")


def parse_measures(names: Sequence[str]) -> dict[str, Asked]:
    """What each name asks for. Raises UsageError for a name that is not known, listing those that are, and
    MissingPackageError without ir_measures."""
    if isinstance(names, str):
        raise UsageError(f"measures is the string {names!r}; give a sequence of names, such as ['nDCG@10']")
    if not names:
        raise UsageError(f"no measure is named; known are {KNOWN}")
    return {name: _parse(name) for name in names}


def _parse(name: str) -> Asked:
    found = _NAME.fullmatch(name.strip())
    if found is None:
        raise UsageError(
            f"{name!r} is not how a measure is written, which is like nDCG@10; known are {KNOWN}"
        )
    family, at = found["family"], found["at"]
    parameters = _parameters(name, found["arguments"] or "()")
    if family in ("PR-AUC", "PRAUC"):
        pooled = parameters.pop("pooled", False)
        if parameters or at is not None or not isinstance(pooled, bool):
            raise UsageError(f"{name!r}: PR-AUC takes no cut-off, and no parameter but pooled=True")
        return PrAuc(pooled)
    try:
        import ir_measures
    except ImportError as error:
        raise MissingPackageError("measuring", "ir_measures", "eval") from error
    measure = ir_measures.measures.registry.get(family)
    if measure is None or measure.NAME not in _FAMILIES:
        raise UsageError(f"the measure {name!r} is not known; known are {KNOWN}")
    if at is not None:
        parameters[measure.AT_PARAM] = _cut(name, at, measure.AT_PARAM)
    made = measure(**parameters)
    try:
        made.validate_params()
    except AssertionError as error:
        allowed = ", ".join(f"{key} ({about.desc})" for key, about in made.SUPPORTED_PARAMS.items())
        raise UsageError(f"the measure {name!r}: {_fault(error)}; its parameters are {allowed}") from None
    return made


def _fault(error: AssertionError) -> str:
    said = str(error)
    if said == "invalid param cutoff=<object object>" or "<object object" in said:
        return "a parameter is missing, such as the k of P@k"
    return said


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
        raise UsageError(f"{name!r}: after the @ stands a rank, a whole number of at least 1")
    if parameter != "cutoff" and not 0 <= number <= 1:
        raise UsageError(f"{name!r}: after the @ stands a recall between 0 and 1")
    return number
