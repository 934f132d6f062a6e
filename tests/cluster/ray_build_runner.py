"""`leanseek cluster build …` in small units, which leave a line in the file $UNIT_LOG when they begin and end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import HashEncoder

from leanseek.cluster import cluster_index, units
from leanseek.cluster.shards import Encoders, encode_task
from leanseek.indexing.creation import Plan, make_plan

UNIT = 8
PAUSE = 0.05
"""Seconds that each unit takes at least, so that a kill finds some under way."""


def plan(*_: Any) -> Plan:
    """That of the tests' encoder, whatever the options say."""
    return make_plan(encoder=HashEncoder(), dense="flat")


def noting(log: str, pause: float) -> Callable[..., int]:
    """`encode_task`, noted; a closure, as the workers do not know this file."""

    def task(url: str, unit: str, encoders: Encoders, *rest: Any) -> int:
        def note(what: str) -> None:
            with Path(log).open("a") as file:
                file.write(f"{what} {unit}\n")

        if not [*Path(url, "units").glob(f"{unit}-*.done")]:
            note("begun")
            time.sleep(pause)
        encoded = encode_task(url, unit, Encoders(encoders.settings, HashEncoder()), *rest)
        note("ended" if encoded else "known")
        return encoded

    return task


if __name__ == "__main__":
    from leanseek.cli import cluster_commands, main

    units.UNIT_PASSAGES = UNIT  # type: ignore[misc]
    cluster_index.encode_task = noting(os.environ["UNIT_LOG"], PAUSE)  # type: ignore[assignment]
    cluster_commands.plan_of = plan
    main()
