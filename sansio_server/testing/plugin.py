"""The pytest plugin: servers in memory and on every backend as fixtures, seeds, and what failed.

It is found by pytest where the distribution is installed. Fixtures:

``scripted_server``
    makes a :class:`~.scripted.ScriptedServer`, to be closed at the end of the test.
``serve``
    makes a server on the backend of ``server_backend``, likewise.
``server_backend``
    is each backend in turn; the marker ``backends`` chooses.
``simulate``
    simulates ``--sim-seeds`` seeds, as :func:`~.simulation.simulate`, and fails if one does.
``sim_seed``
    is each of ``--sim-seeds`` seeds in turn; servers in memory are given it.

The report of a test that fails has the seed and the timeline of each world.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, Final

import attrs
import pytest

from .real_sockets.backends import REAL_BACKENDS
from .real_sockets.server import RealServer
from .servers.classes import ThreadingTCPServer
from .servers.scripted import ScriptedServer
from .simulation.simulation import Report
from .simulation.simulation import simulate as simulate_seeds
from .timeline.moments import render

__all__ = ["scripted_server", "serve", "server_backend", "sim_seed", "simulate"]

#: What ``server_backend`` is where no marker chooses.
_USUAL: Final = ("memory", "inline", "threads", "forks", "trio", "trio-threads")
#: What it may be; "trio-greenlets" needs the extra ``greenlet``.
_BACKENDS: Final = ("memory", *REAL_BACKENDS)

_SEEDS: Final = 100
_LAST_MOMENTS: Final = 60


@attrs.define
class _Made:
    """The servers in memory that a test made, for its report."""

    servers: list[ScriptedServer] = attrs.field(factory=list)


_MADE: Final = pytest.StashKey[_Made]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--sim-seeds``."""
    group = parser.getgroup("sansio-server")
    group.addoption(
        "--sim-seeds",
        type=_seeds,
        default=_SEEDS,
        metavar="N",
        help=f"how many seeds tests with sim_seed or simulate run (default: {_SEEDS})",
    )


def _seeds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "backends(*names): the backends to run a test on that uses `server_backend` or `serve`, "
        f"of {', '.join(_BACKENDS)}; by default {', '.join(_USUAL)}.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each backend, and once for each seed."""
    if "server_backend" in metafunc.fixturenames:
        metafunc.parametrize("server_backend", _chosen(metafunc), indirect=True)
    if "sim_seed" in metafunc.fixturenames:
        seeds = range(metafunc.config.getoption("--sim-seeds"))
        ids = [f"seed{seed}" for seed in seeds]
        metafunc.parametrize("sim_seed", seeds, ids=ids, indirect=True)


def _chosen(metafunc: pytest.Metafunc) -> tuple[str, ...]:
    marker = metafunc.definition.get_closest_marker("backends")
    if marker is None:
        return _USUAL
    for name in marker.args:
        if name not in _BACKENDS:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: backends must be of {', '.join(_BACKENDS)}, "
                f"not {name!r}"
            )
    if not marker.args or marker.kwargs:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: backends takes names of backends")
    return tuple(marker.args)


@pytest.fixture
def server_backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend: each in turn."""
    name: str = request.param
    return name


@pytest.fixture
def sim_seed(request: pytest.FixtureRequest) -> int:
    """A seed: each in turn, as many as ``--sim-seeds`` says."""
    seed: int = request.param
    return seed


@pytest.fixture
def scripted_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., ScriptedServer]]:
    """Call this as :class:`~.scripted.ScriptedServer`; the server is entered, and closed later.

    In a test with ``sim_seed`` that is its seed, unless another is given.
    """
    made = request.node.stash.setdefault(_MADE, _Made())
    with ExitStack() as held:

        def make(*args: Any, **kwargs: Any) -> ScriptedServer:
            if "sim_seed" in request.fixturenames:
                kwargs.setdefault("seed", request.getfixturevalue("sim_seed"))
            server = ScriptedServer(*args, **kwargs)
            made.servers.append(server)
            return held.enter_context(server)

        yield make


@pytest.fixture
def serve(
    server_backend: str, scripted_server: Callable[..., ScriptedServer]
) -> Iterator[Callable[..., Any]]:
    """Call this with a handler, perhaps a server class, and attributes of the server.

    It returns a server on the backend of ``server_backend``, with ``connect()``,
    ``datagram_client()``, ``shutdown()``, ``drain()``: a :class:`~.scripted.ScriptedServer` or a
    :class:`~.real_sockets.server.RealServer`. Without a class, requests are served side by side
    wherever the backend can do that.
    """
    with ExitStack() as held:

        def make(
            handler: Callable[..., Any] | None = None,
            server_class: type[Any] | None = None,
            **attributes: Any,
        ) -> ScriptedServer | RealServer:
            if server_backend == "memory":
                return scripted_server(handler, server_class or ThreadingTCPServer, **attributes)
            real = RealServer(handler, server_class, backend=server_backend, **attributes)
            return held.enter_context(real)

        yield make


@pytest.fixture
def simulate(pytestconfig: pytest.Config) -> Callable[..., Report]:
    """Call this as :func:`~.simulation.simulate`; the seeds are ``--sim-seeds``, if not given.

    It fails the test where a seed does not hold: with the shortest run, and a test to keep.
    """

    def run(handler: Callable[..., Any], **options: Any) -> Report:
        options.setdefault("seeds", range(pytestconfig.getoption("--sim-seeds")))
        report = simulate_seeds(handler, **options)
        if report.failures:
            pytest.fail("\n".join([str(report), *_tests(report)]), pytrace=False)
        return report

    return run


def _tests(report: Report) -> Iterator[str]:
    for failure in report.failures:
        yield f"\nA test to keep:\n\n{failure.regression_test}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failure what happened in the worlds of its test."""
    report = yield
    if report.failed:
        for server in item.stash.get(_MADE, _Made()).servers:
            report.sections.append((_title(server), _told(server)))
    return report


def _title(server: ScriptedServer) -> str:
    seed = server.world.seed
    return "timeline, first come, first served" if seed is None else f"timeline, seed {seed}"


def _told(server: ScriptedServer) -> str:
    moments = server.timeline
    left_out = len(moments) - _LAST_MOMENTS
    before = f"({left_out} moments before)\n" if left_out > 0 else ""
    return before + render(moments[-_LAST_MOMENTS:])
