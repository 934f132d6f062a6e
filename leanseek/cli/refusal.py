"""Errors of commands: one clear line and a named exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from leanseek.errors import ExitCode, LeanseekError

REFUSALS = {
    getattr(errno, name, None)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "EIO", "EMFILE", "ENFILE")
}
"""The operating system's errors about the disk, permissions and limits."""


class Guarded(TyperGroup):
    """A command group that turns every exception of its commands into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raises typer.Exit with the code, or the exception itself with `--debug`."""
        try:
            return super().invoke(ctx)
        except (LeanseekError, KeyboardInterrupt, OSError, MemoryError) as error:
            if ctx.params.get("debug") and not isinstance(error, KeyboardInterrupt):
                raise
            if isinstance(error, BrokenPipeError):
                # The reader of a pipe such as `| head` has gone: that is no error.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(0) from None
            typer.echo(message(error, ctx.invoked_subcommand), err=True)
            raise typer.Exit(int(exit_code(error))) from None
        except (typer.Exit, SystemExit):
            raise
        except Exception as error:
            if ctx.params.get("debug") or is_usage(error):
                raise
            name = type(error).__name__
            from leanseek.encode.batches import out_of_memory

            if out_of_memory(error):
                typer.echo(
                    f"error: memory ran out, on the device or in the machine: {str(error).splitlines()[0]} Choose a "
                    "smaller model or another device, such as --device cpu.",
                    err=True,
                )
                raise typer.Exit(int(ExitCode.FAILURE)) from None
            typer.echo(
                f"error: unexpected {name}: {error}. Run it again with --debug to see where.", err=True
            )
            raise typer.Exit(int(ExitCode.FAILURE)) from None


def is_usage(error: Exception) -> bool:
    """Whether the option parser raised it, which prints its own errors."""
    return type(error).__module__.startswith(("click", "typer"))


def message(error: BaseException, command: str | None) -> str:
    """The message for the user of that command."""
    if isinstance(error, KeyboardInterrupt):
        if command in ("index", "add", "sync", "demo", "cluster"):
            return (
                "interrupted: nothing was committed. Repeat the command: it reuses what was encoded so far."
            )
        if command == "tokens":
            return "interrupted. Repeat the command: it continues where it stopped."
        return "interrupted."
    if isinstance(error, MemoryError):
        return "error: out of memory. Index in smaller parts with 'leanseek add', or on a larger machine."
    if isinstance(error, OSError) and not isinstance(error, LeanseekError):
        where = f" '{error.filename}'" if error.filename else ""
        return f"error: {error.strerror or error}{where}"
    return f"error: {error}"


def exit_code(error: BaseException) -> ExitCode:
    """The named exit code of an error."""
    if isinstance(error, LeanseekError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, OSError) and error.errno in REFUSALS:
        return ExitCode.STORAGE
    return ExitCode.INPUT if isinstance(error, OSError) else ExitCode.FAILURE
