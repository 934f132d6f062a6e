"""A query's words on the command line: without quotes, and with dashes that begin no option."""

from __future__ import annotations

import re
from typing import Any, Final

from leanseek.cli.help import Helped

_DASHED: Final = re.compile(r"-(?:[^-]|-\S*\s)", re.DOTALL)
"""What can be a word: one dash and more, or two dashes and white space within the argument."""


class Worded(Helped):
    """A command whose last argument takes words, of which `-5` and `-car` may be some as well as `--` may part them.

    Any other argument that begins with two dashes is an option, so that a misspelt one is reported.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options first and the words after them."""
        takes_value = {
            name: not option.is_flag
            for option in self.get_params(ctx)
            if option.param_type_name == "option"
            for name in (*option.opts, *option.secondary_opts)
        }
        options: list[str] = []
        words: list[str] = []
        given = iter(args)
        for one in given:
            if one == "--":
                words += given
            elif self._is_word(one, takes_value):
                words.append(one)
            else:
                options.append(one)
                if takes_value.get(one):
                    options += [value for value in (next(given, None),) if value is not None]
        return super().parse_args(ctx, [*options, "--", *words])

    @staticmethod
    def _is_word(argument: str, options: dict[str, bool]) -> bool:
        if not argument.startswith("-") or argument == "-":
            return True
        if argument.partition("=")[0] in options or argument == "-help":
            return False
        # A short option's value may follow it without a blank: -k10.
        if options.get(argument[:2]) and argument[2:].isdecimal():
            return False
        return _DASHED.match(argument) is not None
