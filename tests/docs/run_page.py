"""Runs the Python blocks of one page, one after the other, as a reader would type them.

They share their names. What a block prints must be what the block of output after it shows. To be
run in a process of its own: `python -m tests.docs.run_page PAGE`, in an empty folder.
"""

from __future__ import annotations

import gc
import io
import sys
import threading
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.docs.pages import Block, blocks, files


def write_files() -> None:
    """Put the files that pages show into the working folder."""
    for name, block in files().items():
        Path(name).write_text(block.text)


def run_block(block: Block, names: dict[str, Any]) -> str:
    """Run one block; return what it printed."""
    source = "\n" * (block.line - 1) + block.text  # so that errors name the line of the page
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(source, str(block.page), "exec", dont_inherit=True), names)
    return printed.getvalue()


def be_patient() -> None:
    """Let Hypothesis, where a page uses it, take no slow machine for a failure."""
    from hypothesis import HealthCheck, settings

    slowly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("slowly", slowly)
    settings.load_profile("slowly")


def threads() -> list[threading.Thread]:
    """Return the threads that run, but for those that trio keeps for a while to use them again."""
    return [each for each in threading.enumerate() if not each.name.startswith("Trio thread ")]


def main(page: Path) -> None:
    write_files()
    sys.path.insert(0, "")
    if "hypothesis" in page.read_text():
        be_patient()
    ignored: list[object] = []
    sys.unraisablehook = ignored.append  # a ResourceWarning, say, from the collector
    names: dict[str, Any] = {"__name__": "page"}
    nothing = Block(page, 0, "", "")
    for block, following in pairwise([*blocks(page), nothing]):
        if block.runs:
            printed = run_block(block, names)
            shown = following.text if following.language == "output" else ""
            assert printed == shown, f"{block} prints\n{printed}"
    names.clear()
    gc.collect()
    assert not ignored, ignored
    assert threads() == [threading.main_thread()], threads()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
