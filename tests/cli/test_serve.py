"""The options of `sansio-server serve`, and what becomes of them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from sansio_server import Limits
from sansio_server.cli import main
from sansio_server.cli.addresses import Address
from sansio_server.cli.backends import BACKENDS, Backend, Plan
from tests.cli import handlers
from tests.cli.commands import run, serving

UPPER = "tests.cli.handlers:Upper"
HERE = "tcp:127.0.0.1:0"


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that are made, none of which is carried out."""
    plans: list[Plan] = []

    def keep(plan: Plan) -> int:
        plans.append(plan)
        return 5

    monkeypatch.setattr(Backend, "load", lambda _: keep)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return plans


def test_the_defaults_are_safe(plans: list[Plan]) -> None:
    assert main(["serve", UPPER, "--bind", HERE]) == 5
    assert plans == [
        Plan(
            handler=handlers.Upper,
            addresses=(Address("tcp", host="127.0.0.1"),),
            backend="threads",
            limits=Limits(max_connections=1024, drain_timeout=10.0, cut_timeout=5.0),
        )
    ]


@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"prefork"}))
def test_each_backend_has_a_limit_of_its_own(backend: str, plans: list[Plan]) -> None:
    main(["serve", UPPER, "--bind", HERE, "--backend", backend])
    [plan] = plans
    assert plan.backend == backend
    assert plan.limits.max_connections == {"forks": 40, "pool": 32}.get(backend, 1024)


def test_everything_can_be_chosen(plans: list[Plan]) -> None:
    words = (
        f"serve {UPPER} --bind udp:[::1]:53 --bind unix:path --backend inline --max-connections 7 "
        "--when-full shed --request-timeout 1.5 --drain-timeout 0 --cut-timeout 2 --trace file"
    )
    main(words.split())
    [plan] = plans
    assert plan.addresses == (Address("udp", host="::1", port=53), Address("unix", path="path"))
    assert plan.limits == Limits(
        max_connections=7,
        when_full="shed",
        request_timeout=1.5,
        drain_timeout=0.0,
        cut_timeout=2.0,
    )
    assert plan.trace == "file"


def test_limits_can_be_lifted(plans: list[Plan]) -> None:
    none = "--max-connections none --request-timeout none --drain-timeout none"
    main(["serve", UPPER, "--bind", HERE, "--backend", "forks", *none.split()])
    [plan] = plans
    assert plan.limits == Limits(max_connections=sys.maxsize)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("", "the following arguments are required: --bind"),
        ("--bind tcp:localhost", "argument --bind: 'tcp:localhost' is not tcp:HOST:PORT"),
        ("--bind None", "argument --bind: 'None' is no address; write tcp:HOST:PORT"),
        ("--bind :0 --backend magic", "invalid choice: 'magic' (choose from "),
        ("--bind :0 --when-full panic", "invalid choice: 'panic' (choose from "),
        ("--bind :0 --max-connections -5", "--max-connections: '-5' is not 1 or more, nor 'none'"),
        ("--bind :0 --max-connections 0", "--max-connections: '0' is not 1 or more, nor 'none'"),
        ("--bind :0 --max-connections 1.5", "'1.5' is not 1 or more"),
        ("--bind :0 --request-timeout -1", "'-1' is not a number of seconds from 0 to"),
        ("--bind :0 --request-timeout soon", "'soon' is not a number of seconds"),
        ("--bind :0 --request-timeout nan", "'nan' is not a number of seconds"),
        ("--bind :0 --drain-timeout inf", "'inf' is not a number of seconds from 0 to"),
        ("--bind :0 --drain-timeout 1e300", ", nor 'none'"),
        ("--bind :0 --record-payload", "--record-payload is for recordings; add --record FILE"),
        ("--bind :0 --record-size 1", "--record-size is for recordings; add --record FILE"),
        ("--bind :0 --cut-timeout none", "'none' is not a number of seconds from 0 to"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(
    options: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", UPPER, *options.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sansio-server serve: error: ")
    assert complaint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("handler", "address", "complaint"),
    [
        ("tests.cli.handlers:Nobody", HERE, "has no 'Nobody'"),
        ("tests.cli.handlers:HANDLER", HERE, "has no 'HANDLER'"),
        ("tests.cli.handlers:__name__", HERE, "is 'tests.cli.handlers'; a handler is a class"),
        ("tests.cli.handlers:Lines", "udp:127.0.0.1:0", "cannot serve the datagrams of udp:"),
        ("tests.cli.handlers:Packets", HERE, "cannot serve the connections of tcp:"),
    ],
)
def test_a_wrong_handler_is_one_line_that_names_it(
    handler: str,
    address: str,
    complaint: str,
    plans: list[Plan],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve", handler, "--bind", address]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"sansio-server serve: error: '{handler.partition(':')[0]}")
    assert complaint in err
    assert err.count("\n") == 1
    assert plans == []


def test_a_module_that_fails_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    ended = run("serve", "broken:Handler", "--bind", HERE, cwd=tmp_path)
    assert (ended.status, ended.out) == (2, [])
    error = "cannot import 'broken': ZeroDivisionError: division by zero"
    assert ended.err == f"sansio-server serve: error: {error}\n"


def test_modules_of_the_working_directory_are_found(tmp_path: Path) -> None:
    source = "def handler(request, address, server): request.sendall(b'local')"
    (tmp_path / "local_module.py").write_text(source)
    with serving("local_module:handler", "--bind", HERE, cwd=tmp_path) as server:
        assert server.ask() == b"local"
        assert server.stop(signal.SIGTERM).status == 0
