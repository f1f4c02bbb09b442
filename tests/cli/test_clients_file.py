from __future__ import annotations

from pathlib import Path

import pytest

from sansio_server.cli.clients_file import read_clients
from sansio_server.cli.console import CommandError
from sansio_server.testing.scripts.actions import ClientScript, Close, Connect, Send
from sansio_server.testing.scripts.script import Script, script_to_json

HELLO = ClientScript((Connect(), Send(b"hello\n"), Close()))
BYE = ClientScript((Connect(), Close()), start=1.0)

CLIENTS = """
from sansio_server.testing.scripts.actions import ClientScript, Close, Connect, Send
from sansio_server.testing.scripts.script import Script

hello = ClientScript((Connect(), Send(b"hello\\n"), Close()))
_not_meant = ClientScript(())
ALL = [Script([ClientScript((Connect(), Close()), start=1.0)])]


def client_in_steps():
    yield Connect()
    yield Send(b"hello\\n")
    yield Close()


def client_whole():
    return ClientScript((Connect(), Close()), start=1.0)


def client_lonely():
    return Connect()


def helper():
    raise AssertionError("nobody asked for this")
"""


def test_a_python_file_has_them_under_names(tmp_path: Path) -> None:
    path = tmp_path / "clients.py"
    path.write_text(CLIENTS)
    assert read_clients(str(path)) == [HELLO, BYE, HELLO, BYE, ClientScript((Connect(),))]


def test_a_script_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(script_to_json(Script([HELLO, BYE])))
    assert read_clients(str(path)) == [HELLO, BYE]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("clients.py", "", "there are no clients in .*; give a ClientScript a name in it"),
        ("clients.py", "1 / 0", "clients.py: ZeroDivisionError: division by zero"),
        ("clients.py", "raise SystemExit(3)", "clients.py: SystemExit: 3"),
        ("clients.py", "def f(:", "clients.py: SyntaxError: "),
        ("clients.py", "def client_a(): return 7", r"client_a\(\) gives 7, which is neither"),
        ("clients.py", "def client_a(): return 'x'", r"client_a\(\) gives 'x', which is neither"),
        ("clients.py", "def client_a(): return []", r"client_a\(\) gives \[\], which is neither"),
        ("clients.json", "{}", "clients.json: a script must be an object with"),
    ],
)
def test_what_has_none_is_refused(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(CommandError, match=complaint) as caught:
        read_clients(str(path))
    assert caught.value.status == 2


@pytest.mark.parametrize("name", ["clients.py", "clients.json"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match=r"cannot read .*: No such file") as caught:
        read_clients(str(tmp_path / name))
    assert caught.value.status == 1
