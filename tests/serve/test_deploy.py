"""What runs the server for others: the unit of systemd, the container, and the messages to systemd."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support import ROOT, make_documents
from typer.main import get_command

from leanseek import Index
from leanseek.cli import app

UNIT = ROOT / "deploy" / "leanseek.service"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_the_unit_is_hardened() -> None:
    run = ["systemd-analyze", "security", "--offline=true", str(UNIT)]
    found = re.search(
        r"exposure level for leanseek.service: ([0-9.]+)", subprocess.check_output(run, text=True)
    )
    assert found is not None and float(found[1]) <= 2.0
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False
    )
    # The program itself is not installed there; nothing else is wrong.
    assert all("is not executable" in line for line in checked.stderr.splitlines()), checked.stderr


def options_of_serve() -> set[str]:
    command: object = get_command(app)
    return {word for one in command.commands["serve"].params for word in one.opts}  # type: ignore[attr-defined]


def test_both_start_the_server_with_options_that_it_has() -> None:
    known = options_of_serve()
    for text, pattern in (
        (UNIT.read_text(), r"ExecStart=(.*)"),
        (DOCKERFILE.read_text(), r"ENTRYPOINT (.*)"),
    ):
        [line] = re.findall(pattern, text)
        used = set(re.findall(r"--[a-z-]+", line))
        assert "serve" in line and used and used <= known


def test_the_container_runs_as_a_user_and_checks_its_health() -> None:
    *_, last = re.split(r"^FROM .*$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    assert re.search(r"^USER (?!root)", last, re.MULTILINE) and "HEALTHCHECK" in last and "/ready" in last
    assert DOCKERFILE.read_text().count("\nFROM ") == 2 and "pip" not in last


def test_systemd_is_told_of_the_start_and_the_end(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=None).add(make_documents(5))
    # A socket's path must be short.
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"{folder}/notify")
        listener.settimeout(300)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": f"{folder}/notify"}
        run = [sys.executable, "-m", "leanseek", "serve", f"i={tmp_path / 'i'}", "--port", "0"]
        with subprocess.Popen(run, stderr=subprocess.DEVNULL, env=environment) as process:
            try:
                assert listener.recv(100) == b"READY=1"
                process.send_signal(signal.SIGTERM)
                assert listener.recv(100) == b"STOPPING=1"
                assert process.wait(60) == 0
            finally:
                process.kill()
