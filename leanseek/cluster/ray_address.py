"""Joining a Ray cluster."""

from __future__ import annotations

import os
import re
import socket
from importlib.util import find_spec
from typing import Any, Final

from leanseek.errors import ClusterError, MissingPackageError, UsageError

PATIENCE: Final = 5.0
"""Seconds in which an address answers; Ray itself tries for minutes."""
PLACE: Final = re.compile(r"(?:(ray)://)?(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})")


def connect(address: str, *, start: bool = True) -> Any:
    """The module `ray`, joined to the cluster at `auto` (the one running on this machine, else, with `start`, one that
    ends with this process), `ray://HOST:PORT` or `HOST:PORT`; where this process has joined one, that.

    Raises UsageError for what is no address, MissingPackageError where Ray is not installed, ClusterError where nothing
    answers.
    """
    place = PLACE.fullmatch(address)
    if address != "auto" and (place is None or int(place[3]) > 65535):
        raise UsageError(f"the address is '{address}'; it can be local, auto, HOST:PORT or ray://HOST:PORT")
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError("a cluster of machines", "ray", "cluster") from error
    if place is not None and place[1] and find_spec("grpc") is None:
        raise MissingPackageError("an address that begins with ray://", "grpcio", "cluster")
    if ray.is_initialized():
        return ray
    if place is not None:
        check_answers(address, place[2].strip("[]"), int(place[3]))
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
        raise no_answer(address, str(error).partition("\n")[0]) from error
    # Ray prints on standard output that nodes have died, where it would come between lines of JSON; no option ends it.
    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    return ray


def check_answers(address: str, host: str, port: int) -> None:
    """Raise ClusterError where nothing, or something else than Ray, listens at a port."""
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as error:
        raise no_answer(address, error.strerror or str(error)) from error
    if find_spec("grpc") is None or os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    import grpc

    channel = grpc.insecure_channel(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    try:
        grpc.channel_ready_future(channel).result(PATIENCE)
    except grpc.FutureTimeoutError as error:
        raise no_answer(address, "what listens there is not Ray") from error
    finally:
        channel.close()


def no_answer(address: str, reason: str) -> ClusterError:
    """The error for an address where there is no cluster."""
    return ClusterError(
        f"no Ray cluster answers at '{address}' ({reason}). Start one with 'ray start --head', or use --address local."
    )
