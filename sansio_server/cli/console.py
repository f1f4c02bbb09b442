"""What all commands have in common: how they say things, and how they fail."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import Final, NoReturn

__all__ = ["MISUSED", "REFUSED", "CommandError", "Parser", "complain", "flush", "say"]

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
        super().__init__(**(defaults | kwargs))  # type: ignore[arg-type]  # as argparse checks

    def error(self, message: str) -> NoReturn:
        """End the command.

        :raises CommandError: always.
        """
        raise CommandError(message, prog=self.prog)


def say(*lines: str) -> None:
    """Print lines at once; where there is no standard output, nothing.

    What its encoding does not know is written with backslashes, as Python does on standard error.
    When nobody reads any more, these lines and all that follow are dropped.

    :raises CommandError: standard output cannot be written; what follows is dropped.
    """
    out = sys.stdout
    if out is None:  # closed before the program began
        return
    try:
        for line in lines:
            try:
                print(line, file=out)
            except UnicodeEncodeError as error:
                known = line.encode(error.encoding, "backslashreplace")
                print(known.decode(error.encoding), file=out)
        out.flush()
    except OSError as error:
        # Python flushes once more at exit, and would report the error again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            return
        message = f"cannot write to standard output: {error.strerror}"
        raise CommandError(message, REFUSED) from None


def flush() -> None:
    """Write what handlers have printed, if that can be written: the process is about to end."""
    with contextlib.suppress(CommandError):
        say()


def complain(prog: str, error: object) -> None:
    """Print the line that says why a command ends, where there is a standard error."""
    text = " ".join(str(error).split("\n"))
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"{prog}: error: {text}", file=sys.stderr, flush=True)
