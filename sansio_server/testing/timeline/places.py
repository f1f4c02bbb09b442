"""Where in a program something is: what is the program's, and where it raised an error."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path
from typing import Final

__all__ = ["is_of_program", "place_of"]

_PACKAGES: Final = Path(__file__).parents[3]
#: Where code is that is no program's: the interpreter's library, packages, these packages.
_LIBRARIES: Final = (
    *{sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    *(str(_PACKAGES / name) + os.sep for name in ("sansio_server", "sync_backend", "trio_backend")),
    "<frozen",
)


def is_of_program(filename: str) -> bool:
    """Say whether the code in this file is the program's, and no library's."""
    return not filename.startswith(_LIBRARIES)


def place_of(error: BaseException) -> str:
    """Return where in the program *error* came from, as "in handle (app.py:12)"; empty if nowhere.

    That is the innermost place that is no library's.
    """
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if is_of_program(code.co_filename):
            place = f"in {code.co_name} ({Path(code.co_filename).name}:{line})"
    return place
