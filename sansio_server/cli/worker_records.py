"""Files for the recordings of workers, which come and go: one for each process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["KEPT", "own_path"]

#: How many recordings of processes that have ended are kept.
KEPT: Final = 8


def own_path(path: str) -> str:
    """Return where this process is to record: *path* with its pid behind it.

    Of the recordings that processes have left which are no more, all but the latest
    :data:`KEPT` are removed.
    """
    left = [each for each in _recordings(Path(path)) if not _is_alive(int(each.suffix[1:]))]
    for old in sorted(left, key=_age)[KEPT:]:
        for each in (old, old.with_name(old.name + ".1")):
            with suppress(OSError):  # another worker was faster
                each.unlink()
    return f"{path}.{os.getpid()}"


def _recordings(path: Path) -> list[Path]:
    found = path.parent.glob(f"{path.name}.*")
    return [each for each in found if each.suffix[1:].isdigit() and int(each.suffix[1:]) > 1]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's by now
    return True


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
