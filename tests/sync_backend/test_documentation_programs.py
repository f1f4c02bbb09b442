"""The programs of socketserver's own documentation run on ours, unmodified.

They are not ours, so they are taken from the Python documentation where that is installed, as
Debian's packages `python3-doc` and `python3.11-doc` do. They all serve on port 9999. So that they
can be run beside anything else, and again at once, a site customization gives them another port
there; the programs themselves are run as they are printed.
"""

from __future__ import annotations

import ast
import os
import re
import select
import signal
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sync_backend.outside import OURS, PATIENCE, PYTHON, ROOT, Running, run, running

SOURCE = "html/_sources/library/socketserver.rst.txt"
# Several names may lead to one folder.
PAGES = sorted({path.resolve() for path in Path("/usr/share/doc").glob(f"python3*/{SOURCE}")})

pytestmark = pytest.mark.skipif(
    not PAGES, reason="Python's documentation is not installed (Debian: python3-doc)"
)
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parts[4])
EACH_RUNNER = pytest.mark.parametrize("runner", [PYTHON, OURS], ids=["theirs", "ours"])

# Gives a server a free port where it asks for 9999, and tells which; leads a client to it.
REDIRECT = """
import os, socket
from _socket import socket as original

def bind(self, address):
    if address[1] != 9999:
        return original.bind(self, address)
    original.bind(self, (address[0], 0))
    os.write(int(os.environ["TELL"]), b"%d\\n" % self.getsockname()[1])

def moved(address):
    return (address[0], int(os.environ["PORT"])) if address[1] == 9999 else address

socket.socket.bind = bind
socket.socket.connect = lambda self, address: original.connect(self, moved(address))
socket.socket.sendto = lambda self, data, address: original.sendto(self, data, moved(address))
"""


class Page:
    """The programs of a page, told apart by what they use."""

    def __init__(self, path: Path) -> None:
        self.blocks = list(_literal_blocks(path.read_text(encoding="utf-8")))

    def find(self, *used: str, unused: tuple[str, ...] = ()) -> str:
        """Return the one block that uses some names and not others."""
        [block] = [
            block
            for block in self.blocks
            if all(name in block for name in used) and not any(name in block for name in unused)
        ]
        return block


def _literal_blocks(text: str) -> Iterator[str]:
    """Each literal block of reStructuredText, as it is printed."""
    for match in re.finditer(r"::\n\n((?: +.*\n|\n)+)", text):
        yield textwrap.dedent(match[1]).strip("\n") + "\n"


def with_class(program: str, other: str) -> str:
    """Return a program with its one class replaced by the one in another block."""
    [old] = [node for node in ast.parse(program).body if isinstance(node, ast.ClassDef)]
    lines = program.splitlines(keepends=True)
    return "".join([*lines[: old.lineno - 1], other, *lines[old.end_lineno :]])


@contextmanager
def serving(runner: list[str], program: str, folder: Path) -> Iterator[tuple[Running, str]]:
    """Run a server until it has bound its port; return the port too."""
    (folder / "sitecustomize.py").write_text(REDIRECT)
    (folder / "server.py").write_text(program)
    told, tell = os.pipe()
    path = f"{folder}:{ROOT}"
    try:
        with running(
            [*runner, "server.py"], folder, (tell,), TELL=str(tell), PYTHONPATH=path
        ) as server:
            assert select.select([told], [], [], PATIENCE)[0], "it binds nothing"
            yield server, os.read(told, 16).decode().strip()
    finally:
        os.close(told)
        os.close(tell)


def talk(client: str, port: str, words: str, folder: Path) -> None:
    """Run a client, which must get back what it sends, upper-cased."""
    (folder / "client.py").write_text(client)
    path = f"{folder}:{ROOT}"
    ended = run([*PYTHON, "client.py", *words.split()], folder, PORT=port, PYTHONPATH=path)
    assert (ended.returncode, ended.stderr) == (0, "")
    sent, received = re.findall(r"^\w+: +(.*)$", ended.stdout, re.MULTILINE)
    assert (sent, received) == (words, words.upper())


def check(runner: list[str], program: str, client: str, folder: Path) -> None:
    """Serve two clients, one after the other, until Ctrl-C."""
    with serving(runner, program, folder) as (server, port):
        for words in "hello world", "python is nice":
            talk(client, port, words, folder)
        status, out, err = server.interrupt()
    assert status == -signal.SIGINT
    assert err.endswith("KeyboardInterrupt\n")
    assert err.count("Traceback") == 1
    for words in "hello world", "python is nice":
        assert f"b'{words}'" in out


@EACH_PAGE
@EACH_RUNNER
def test_tcp(page: Path, runner: list[str], tmp_path: Path) -> None:
    found = Page(page)
    server = found.find("socketserver.TCPServer(", "serve_forever")
    client = found.find("SOCK_STREAM", "sys.argv")
    check(runner, server, client, tmp_path)


@EACH_PAGE
@EACH_RUNNER
def test_tcp_with_streams(page: Path, runner: list[str], tmp_path: Path) -> None:
    found = Page(page)
    server = found.find("socketserver.TCPServer(", "serve_forever")
    other = found.find("(socketserver.StreamRequestHandler)", "readline", unused=("import",))
    client = found.find("SOCK_STREAM", "sys.argv")
    check(runner, with_class(server, other), client, tmp_path)


@EACH_PAGE
@EACH_RUNNER
def test_udp(page: Path, runner: list[str], tmp_path: Path) -> None:
    found = Page(page)
    server = found.find("socketserver.UDPServer(", "serve_forever")
    client = found.find("SOCK_DGRAM", "sys.argv")
    check(runner, server, client, tmp_path)


@EACH_PAGE
def test_threads(page: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(Page(page).find("ThreadingMixIn", "import threading"))
    theirs, ours = (run([*runner, "program.py"], tmp_path) for runner in (PYTHON, OURS))
    assert ours.returncode == 0
    assert ours.stdout.count("Received: ") == 3
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
