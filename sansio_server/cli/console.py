"""What all commands have in common: how they say things, and how they fail."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final, NoReturn

__all__ = ["MISUSED", "REFUSED", "CommandError", "Parser", "complain", "say"]

#: The exit status when the system refuses what was asked for, or the work itself fails.
REFUSED: Final = 1
#: The exit status of a wrong call, as for argparse and the shells.
MISUSED: Final = 2


class CommandError(Exception):
    """Something that ends a command; its text is the one line that is said about it.

    :ivar status: the exit status, :data:`MISUSED` or :data:`REFUSED`.
    :ivar prog: the command, if it is known better than by the one who reports this.
    """

    def __init__(self, message: str, status: int = MISUSED, prog: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.prog = prog


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, and takes no option by half its name."""

    def __init__(self, **kwargs: object) -> None:
        defaults = {
            "allow_abbrev": False,
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }
        super().__init__(**(defaults | kwargs))  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """End the command.

        :raises CommandError: always.
        """
        raise CommandError(message, prog=self.prog)


def say(*lines: str) -> None:
    """Print lines at once. When nobody reads them any more, drop them and all that follow."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit, and would report the error again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def complain(prog: str, error: object) -> None:
    """Print the line that says why a command ends."""
    text = " ".join(str(error).split("\n"))
    print(f"{prog}: error: {text}", file=sys.stderr, flush=True)
