"""The commands that the documentation shows exist, and so do their options."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sansio_server import cli
from sansio_server.cli.console import CommandError
from tests.docs.pages import PAGES, ROOT, blocks, files

# What is no part of the project, with the words that may follow.
FOREIGN = {"git": {"clone"}, "cd": set(), "pip": {"install"}, ".venv/bin/pip": {"install"}}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of each console session, as words, with the place where it stands."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "console":
                text = block.text.replace("\\\n", " ")
                for line in text.splitlines():
                    if line.startswith("$ "):
                        yield str(block), shlex.split(line[2:], comments=True)


COMMANDS = [
    pytest.param(words, id=f"{where} {' '.join(words)[:40]}") for where, words in commands()
]


def complaint(words: list[str]) -> str | None:
    """Say what is wrong with a command; None if nothing is."""
    words = [word for word in words if word != "&"]
    program, *rest = words
    if program.startswith(".venv/bin/") and program != ".venv/bin/pip":
        program = program.removeprefix(".venv/bin/")
    if program == "sansio-server":
        return about_ours(rest)
    if program == "make":
        return about_make(rest)
    if program in ("python", "python3"):
        return about_python(rest)
    if program in FOREIGN:
        return None if not FOREIGN[program] or rest[0] in FOREIGN[program] else "unknown"
    return "unknown program"


def about_ours(words: list[str]) -> str | None:
    """Let the command line itself look at the arguments, without doing what they say."""
    try:
        cli._parser().parse_args(words)
    except CommandError as error:
        return str(error)
    return None


def about_make(words: list[str]) -> str | None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [word for word in words if "=" not in word]
    variables = [word.partition("=")[0] for word in words if "=" in word]
    known = all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    settable = all(re.search(rf"^{name} \?=", makefile, re.MULTILINE) for name in variables)
    return None if known and settable else "no such target or variable"


def about_python(words: list[str]) -> str | None:
    if words[0] != "-m":
        return about_file(words[0], words[1:])
    module, *rest = words[1:]
    if module == "trio_backend" and rest[0] == "--greenlets":
        del rest[0]
    if module in ("sync_backend", "trio_backend"):
        return about_program_to_run(rest)
    if module == "sansio_server":
        return about_ours(rest)
    if module in ("venv", "pip"):
        return None
    if importlib.util.find_spec(module) is None:
        return "no such module"
    return about_options([sys.executable, "-m", module], rest)


def about_file(path: str, rest: list[str]) -> str | None:
    if path in files():
        return "it takes no arguments" if rest else None
    if not (ROOT / path).is_file():
        return "no such file"
    return about_options([sys.executable, path], rest)


def about_options(command: list[str], rest: list[str]) -> str | None:
    options = [word.partition("=")[0] for word in rest if word.startswith("-")]
    if not options:
        return None
    shown = subprocess.run(
        [*command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    missing = set(options) - set(re.findall(r"(?<!\w)--?[a-z][\w-]*", shown.stdout))
    return f"no such options: {missing}" if missing else None


def about_program_to_run(words: list[str]) -> str | None:
    """A module must be there; a program is the reader's own."""
    if words[0] == "-m":
        return None if importlib.util.find_spec(words[1]) else "no such module"
    return None if words[0].endswith(".py") else "neither a module nor a program"


@pytest.mark.parametrize("words", COMMANDS)
def test_it_can_be_typed(words: list[str]) -> None:
    assert complaint(words) is None


@pytest.mark.parametrize(
    "line",
    [
        "sansio-server serve echo:Echo --bind tcp:1:1 --no-such-option",
        "sansio-server serve echo:Echo --bind nowhere",
        "sansio-server no-such-command",
        "make no-such-target",
        "make test NO_SUCH_VARIABLE=1",
        "python no_such_file.py",
        "python -m no_such_module",
        "python -m sync_backend -m no_such_module",
        "python -m sync_backend --greenlets program.py",
        "python -m trio_backend --greenlets -m no_such_module",
        "python examples/tcp_server.py --no-such-option",
        "no-such-program",
    ],
)
def test_mistakes_are_found(line: str) -> None:
    assert complaint(shlex.split(line)) is not None
