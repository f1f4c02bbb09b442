"""Scripts as source: what is printed makes the same script again."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sansio_server.testing.runs.run import Finding
from sansio_server.testing.scripts import actions, faults, script
from sansio_server.testing.scripts.actions import ClientScript, Connect, ReceiveLine, Send
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.generating import clients_that_send, generate
from sansio_server.testing.scripts.printing import regression_test, to_source
from sansio_server.testing.scripts.script import Script

NAMES = {**vars(actions), **vars(faults), **vars(script)}
CLIENTS = clients_that_send([b"hello\n" * 20, bytes(range(256))])


def test_short_ones_stand_on_a_line() -> None:
    client = ClientScript((Connect(), Send(b"a\n"), ReceiveLine(timeout=1.0)), start=0.5)
    assert to_source(client) == (
        "ClientScript((Connect(), Send(b'a\\n'), ReceiveLine(timeout=1.0)), start=0.5)"
    )
    assert to_source(Fault("recv", "short", 2)) == "Fault('recv', 'short', nth=2)"
    assert to_source(Script(())) == "Script(())"
    assert to_source(Script((ClientScript(()),))) == "Script((ClientScript(()),))"


@pytest.mark.parametrize("seed", range(30))
def test_what_is_printed_makes_the_same_script(seed: int) -> None:
    made = generate(seed, CLIENTS, handler="app:Echo")
    source = to_source(made)
    assert eval(source, dict(NAMES)) == made
    assert max(len(line) for line in source.splitlines()) <= 100


SMALL = Script(
    (ClientScript((Connect(), Send(b"a"))),),
    faults=(Fault("recv", "short"),),
    schedule=3,
    handler="app.handlers:Outer.Echo",
    server="app.servers:Server",
)


def test_a_regression_test() -> None:
    source = regression_test(SMALL, name="seed 3", found=[Finding("ends", 'a "dead"\\lock\nmore')])
    assert source == (
        "from app.handlers import Outer\n"
        "from app.servers import Server\n"
        "from sansio_server.testing import ClientScript, Connect, Fault, Script, Send, check\n"
        "\n"
        "SCRIPT = Script(\n"
        "    (ClientScript((Connect(), Send(b'a'))),),\n"
        "    faults=(Fault('recv', 'short'),),\n"
        "    schedule=3,\n"
        "    handler='app.handlers:Outer.Echo',\n"
        "    server='app.servers:Server',\n"
        ")\n"
        "\n"
        "\n"
        "def test_seed_3() -> None:\n"
        '    """ends: a "dead"\\\\lock"""\n'
        "    check(SCRIPT, Outer.Echo, server_class=Server)\n"
    )


def test_a_module_is_imported_from_once() -> None:
    script = Script((), handler="app:Echo", server="app:Server")
    assert regression_test(script, name="x").startswith(
        "from app import Echo, Server\nfrom sansio_server.testing import Script, check\n\n"
    )


def test_one_whose_handler_has_no_name_says_so() -> None:
    source = regression_test(Script(()), name="x")
    assert "# HANDLER: import here what was tested.\n" in source
    assert "check(SCRIPT, HANDLER)" in source
    ast.parse(source)


def test_long_imports_are_wrapped() -> None:
    long = generate(0, CLIENTS)
    source = regression_test(long, name="x")
    ast.parse(source)
    assert "from sansio_server.testing import (\n    ClientScript,\n" in source


def test_what_is_printed_is_formatted(tmp_path: Path) -> None:
    path = tmp_path / "test_seed.py"
    path.write_text(regression_test(SMALL, name="seed 3"))
    subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,I", path],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
