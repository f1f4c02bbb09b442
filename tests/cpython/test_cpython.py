"""CPython's own tests pass with `socketserver` replaced: its tests, and those of what uses it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

RUNNER = Path(__file__).with_name("run_test_socketserver.py")
TIMEOUT = 120  # seconds


@attrs.frozen
class Replacement:
    """What to take for `socketserver`, with options, and parts of the ids of tests left out."""

    name: str
    options: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.name, *self.options))


SYNC = Replacement("sync_backend")
# A forked child cannot leave the run that it was forked in; the class says so when it is made.
NO_FORKS = ("SocketServerTest.test_Forking", "ErrorHandlerTest.test_forking")
TRIO = Replacement("trio_backend.blocking", without=NO_FORKS)
GREENLETS = Replacement(
    "trio_backend.blocking",
    ("--greenlets",),
    # Sends over TLS, too, whose sockets block the thread that all greenlets share.
    without=(*NO_FORKS, "test_logging.HTTPHandlerTest"),
)
REPLACEMENTS = (SYNC, TRIO, GREENLETS)
each_replacement = pytest.mark.parametrize("replacement", REPLACEMENTS, ids=str)


@attrs.frozen
class Suite:
    """Tests of the interpreter's `test` package, and parts of the ids of those left out."""

    tests: tuple[str, ...]
    without: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module that the tests are in."""
        return ".".join(self.tests[0].split(".")[:2])


SOCKETSERVER = Suite(("test.test_socketserver",))
HTTP = Suite(("test.test_httpservers",))
WSGI = Suite(("test.test_wsgiref",))
XMLRPC = Suite(
    ("test.test_xmlrpc",),
    # Each asks once where its server waits for two requests, and so takes the 3 s that it waits.
    without=tuple(
        f"MultiPathServerTestCase.test_{name}"
        for name in (
            *("path3", "empty_path", "root_path", "invalid_path"),
            *("path_query", "path_fragment"),
        )
    ),
)
# What has a server in it, and what `logging.config.listen` is tested by.
LOGGING = Suite(
    (
        *("test.test_logging.SocketHandlerTest", "test.test_logging.UnixSocketHandlerTest"),
        *("test.test_logging.DatagramHandlerTest", "test.test_logging.UnixDatagramHandlerTest"),
        *("test.test_logging.SysLogHandlerTest", "test.test_logging.UnixSysLogHandlerTest"),
        *("test.test_logging.IPv6SysLogHandlerTest", "test.test_logging.HTTPHandlerTest"),
        "test.test_logging.ConfigDictTest.test_listen_config_1_ok",
        "test.test_logging.ConfigDictTest.test_listen_config_10_ok",
        "test.test_logging.ConfigDictTest.test_listen_verify",
    ),
    # Closes its server first, then sleeps until the handler tries again.
    without=("SocketHandlerTest.test_noserver",),
)


def start(suite: Suite, replacement: Replacement, directory: Path) -> subprocess.Popen[str]:
    """Run tests in a process of their own."""
    if importlib.util.find_spec("test") is None or importlib.util.find_spec(suite.module) is None:
        pytest.skip(f"this Python was installed without {suite.module}")
    command = [sys.executable, str(RUNNER), replacement.name, *replacement.options]
    command += ["--tests", *suite.tests]
    if without := suite.without + replacement.without:
        command += ["--without", *without]
    return subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str]) -> dict[str, object]:
    """Wait for tests and return what became of them."""
    with process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert out, err
    outcome: dict[str, object] = json.loads(out.splitlines()[-1])
    assert process.returncode == 0, err
    assert "ResourceWarning" not in err, err
    return outcome


def check(suite: Suite, replacement: Replacement, directory: Path, at_least: int) -> None:
    """Run tests on a replacement and print how many ran."""
    report(suite, replacement, end(start(suite, replacement, directory)), at_least)


def report(
    suite: Suite, replacement: Replacement, outcome: dict[str, object], at_least: int
) -> None:
    """Print how many tests ran, and hold that none failed."""
    skipped = outcome["skipped"]
    assert isinstance(skipped, dict)
    ran = outcome["ran"]
    assert isinstance(ran, int)
    print(f"{suite.module} on {replacement}: {ran} ran, {len(skipped)} of them skipped")
    for name, reason in skipped.items():
        print(f"  {name}: {reason}")
    assert outcome["failed"] == []
    assert ran - len(skipped) >= at_least


@pytest.fixture(scope="module", autouse=True)
def logging_runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[Replacement, subprocess.Popen[str]]]:
    """Runs of the tests of logging, which wait most of the time: others are run meanwhile."""
    with ExitStack() as stack:
        runs = {}
        for each in REPLACEMENTS:
            runs[each] = process = start(LOGGING, each, tmp_path_factory.mktemp("logging"))
            stack.enter_context(process)
            stack.callback(process.kill)
        yield runs


@each_replacement
def test_socketserver(replacement: Replacement, tmp_path: Path) -> None:
    check(SOCKETSERVER, replacement, tmp_path, at_least=20)


@each_replacement
def test_http_server(replacement: Replacement, tmp_path: Path) -> None:
    check(HTTP, replacement, tmp_path, at_least=40)


@each_replacement
def test_wsgiref(replacement: Replacement, tmp_path: Path) -> None:
    check(WSGI, replacement, tmp_path, at_least=30)


@each_replacement
def test_xmlrpc(replacement: Replacement, tmp_path: Path) -> None:
    check(XMLRPC, replacement, tmp_path, at_least=80)


@each_replacement
def test_logging(
    logging_runs: dict[Replacement, subprocess.Popen[str]], replacement: Replacement
) -> None:
    report(LOGGING, replacement, end(logging_runs[replacement]), at_least=10)


def test_runner_tells_of_failures(tmp_path: Path) -> None:
    """A module that is no replacement makes the same tests fail."""
    (tmp_path / "no_server.py").write_text(
        "from sync_backend import *\nfrom sync_backend import __all__\n"
        "class TCPServer(TCPServer):\n    def server_close(self): pass\n"
    )
    command = [sys.executable, str(RUNNER), "no_server"]
    process = subprocess.run(
        [*command, "--tests", "test.test_socketserver.SocketServerTest.test_context_manager"],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(RUNNER.parents[2])])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    outcome = json.loads(process.stdout.splitlines()[-1])
    assert outcome["failed"] == ["test.test_socketserver.SocketServerTest.test_context_manager"]
    assert process.returncode == 1
