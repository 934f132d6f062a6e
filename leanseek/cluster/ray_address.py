"""Joining a Ray cluster."""

from __future__ import annotations

import os
from typing import Any

from leanseek.errors import ClusterError, MissingPackageError, UsageError


def connect(address: str, *, start: bool = True) -> Any:
    """The module `ray`, joined to the cluster at `auto` (the one running on this machine, else, with `start`, one that
    ends with this process), `ray://HOST:PORT` or `HOST:PORT`; where this process has joined one, that.

    Raises MissingPackageError where Ray is not installed, ClusterError where nothing answers.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError("a cluster of machines", "ray", "cluster") from error
    if address != "auto" and not address.startswith("ray://") and ":" not in address:
        raise UsageError(f"the address is '{address}'; it can be local, auto, HOST:PORT or ray://HOST:PORT")
    if ray.is_initialized():
        return ray
    # Leave the GPUs of tasks that ask for none as they are, which Ray is going to do anyway, and warns of until then.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        try:
            ray.init(address=address, **options)
        except ConnectionError:
            if address != "auto" or not start:
                raise
            ray.init(include_dashboard=False, **options)
    except (ConnectionError, RuntimeError, TimeoutError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ClusterError(
            f"no Ray cluster answers at '{address}' ({reason}). Start one with 'ray start --head', or use "
            "--address local."
        ) from error
    return ray
