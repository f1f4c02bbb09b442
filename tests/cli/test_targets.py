from __future__ import annotations

import functools
import http.server
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sansio_server.cli.console import CommandError
from sansio_server.cli.targets import Handler, check_fits, load_handler
from tests.cli import handlers


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An empty module that can be imported as `made_up`."""
    module = ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", module)
    return module


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tests.cli.handlers:Upper", handlers.Upper),
        ("tests.cli.handlers:Namespace.Inner", handlers.Namespace.Inner),
        ("tests.cli.handlers:shout", handlers.shout),
        ("tests.cli.handlers:StandardLines", handlers.StandardLines),
        ("http.server:SimpleHTTPRequestHandler", http.server.SimpleHTTPRequestHandler),
        ("tests.cli.handlers:WithHandler", handlers.Lines),
    ],
)
def test_handlers_are_found(text: str, found: Handler) -> None:
    assert load_handler(text) is found


def test_a_server_stands_for_its_handler(module: ModuleType) -> None:
    with handlers.WithHandler(("127.0.0.1", 0), handlers.Upper) as server:
        module.__dict__["server"] = server
        assert load_handler("made_up:server") is handlers.Upper


def test_what_does_not_show_its_arguments_is_believed(module: ModuleType) -> None:
    class Opaque:
        __signature__ = "not one"

        def __call__(self, *args: object) -> None: ...

    module.__dict__["opaque"] = Opaque()
    module.__dict__["partial"] = functools.partial(handlers.one_argument)
    assert load_handler("made_up:opaque") is module.__dict__["opaque"]
    with pytest.raises(CommandError, match="too many positional arguments"):
        load_handler("made_up:partial")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' names no handler; write MODULE:HANDLER"),
        ("module", "'module' names no handler; write MODULE:HANDLER"),
        (":Upper", "':Upper' names no handler"),
        ("tests.cli.handlers:", "names no handler"),
        (
            "no_such:Upper",
            "cannot import 'no_such': ModuleNotFoundError: No module named 'no_such'",
        ),
        ("json.py:load", "(a module has no .py: json)"),
        ("..json:load", "cannot import '..json': "),
        ("json:nope", "'json' has no 'nope', which 'json:nope' asks for"),
        ("json:decoder.nope", "'json.decoder' has no 'nope', which 'json:decoder.nope' asks for"),
        ("json:decoder..x", "'json.decoder' has no ''"),
        ("tests.cli.handlers:Namespace.number", "is 3; a handler is a class, or anything else"),
        (
            "tests.cli.handlers:one_argument",
            "takes (request: 'Any') -> 'None'; a handler is called",
        ),
        ("http.server:HTTPServer", "is a server class; name the handler it is to serve"),
    ],
)
def test_what_is_no_handler_is_named(text: str, complaint: str) -> None:
    with pytest.raises(CommandError) as info:
        load_handler(text)
    assert complaint in str(info.value)
    assert info.value.status == 2


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import nothing_of_the_kind", "No module named 'nothing_of_the_kind'"),
        ("def", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(
    source: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CommandError) as info:
        load_handler("faulty_module:Handler")
    assert str(info.value).startswith("cannot import 'faulty_module': ")
    assert complaint in str(info.value)


@pytest.mark.parametrize(
    ("handler", "datagrams", "fits"),
    [
        (handlers.Upper, False, True),
        (handlers.Upper, True, True),
        (handlers.shout, True, True),
        (handlers.Lines, False, True),
        (handlers.Lines, True, False),
        (handlers.StandardLines, True, False),
        (handlers.Packets, True, True),
        (handlers.Packets, False, False),
    ],
)
def test_handlers_of_streams_and_datagrams_are_not_confused(
    handler: Handler, datagrams: bool, fits: bool
) -> None:
    if fits:
        check_fits("m:H", handler, datagrams=datagrams, address="here")
    else:
        with pytest.raises(CommandError, match=r"'m:H' is a .*; it cannot serve the .* of here"):
            check_fits("m:H", handler, datagrams=datagrams, address="here")
