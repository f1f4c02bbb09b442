"""Many runs, a seed each: what goes wrong in them, and the shortest way to show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import attrs

from sansio_server.testing.runs.comparing import (
    INDEPENDENT_OF_CUTS,
    INDEPENDENT_OF_OTHERS,
    Comparison,
)
from sansio_server.testing.runs.invariants import BUILT_IN, Invariant, check_invariants, name_of
from sansio_server.testing.runs.reached import Reached
from sansio_server.testing.runs.run import Finding, Run, first_difference
from sansio_server.testing.scripts.actions import ClientScript
from sansio_server.testing.scripts.faults import DATAGRAM_FAULTS, DEFAULT_FAULTS, FaultRule
from sansio_server.testing.scripts.generating import Variety, clients_that_send, generate
from sansio_server.testing.scripts.printing import regression_test
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.scripts.shrinking import shrink
from sansio_server.testing.world.baton import Crew
from sansio_server.testing.world.scheduler import PATIENCE

from .playing import play

__all__ = ["DETERMINISTIC", "Failure", "Report", "Simulation", "check", "simulate"]

_Self = TypeVar("_Self", bound="Simulation")

#: What is found where two runs of one script differ.
DETERMINISTIC: Final = "the same seed gives the same run"

#: How many failures are shrunk, and how many runs that takes at most for each.
_SHRINKING: Final = 400


@attrs.frozen
class Failure:
    """A seed in whose run something does not hold.

    :ivar seed: the seed.
    :ivar run: its run, with what was found.
    :ivar script: the shortest script that shows the first of it.
    :ivar short_run: the run of that.
    """

    seed: int
    run: Run
    script: Script
    short_run: Run

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What does not hold in the run of the seed."""
        return self.run.findings

    @property
    def regression_test(self) -> str:
        """The source of a test that fails as long as this does."""
        return regression_test(self.script, name=f"seed {self.seed}", found=self.short_run.findings)

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.findings[0]}\n\n{self.short_run.report(last=60)}"


@attrs.frozen
class Report:
    """What a simulation has shown.

    :ivar failures: a failure for each invariant that does not hold: of the first such seed.
    :ivar failed: the seeds in which something does not hold.
    :ivar reached: which rows of the tables, and which faults, the runs have reached.
    :ivar seconds: how long it took.
    """

    failures: tuple[Failure, ...]
    failed: tuple[int, ...]
    reached: Reached
    seconds: float

    @property
    def runs(self) -> int:
        """How many seeds were run."""
        return self.reached.runs

    @property
    def invariants(self) -> tuple[str, ...]:
        """The names of what does not hold, in the order in which it was found."""
        found = [finding.invariant for each in self.failures for finding in each.findings]
        return tuple(dict.fromkeys(found))

    def __str__(self) -> str:
        lines = [f"{self.runs} seeds, {len(self.failed)} failed, {self.seconds:.1f} s"]
        lines.extend(f"\n{failure}" for failure in self.failures)
        return "\n".join(lines)

    def raise_failures(self) -> None:
        """Fail if anything does not hold.

        :raises AssertionError: it does; the message has the seed, the timeline of the shortest run,
            and a test to keep.
        """
        if self.failures:
            tests = "\n".join(failure.regression_test for failure in self.failures)
            raise AssertionError(f"{self}\n\n{tests}")


class Simulation:
    """A handler and a server that scripts are played on, and what must hold of each run.

    :param handler: as for a server.
    :param server_class: as for :func:`~.playing.play`.
    :param invariants: what must hold, beside :data:`~.invariants.BUILT_IN`; one that has the name
        of a built-in one takes its place.
    :param without: names of invariants that need not hold, as they are in findings.
    :param rules: faults that may happen.
    :param twice: whether each script is played a second time, which must give the same run.
    :param attributes: set on the server class.
    :param patience: seconds of real time that something may compute without waiting.
    :raises ValueError: *without* names no invariant.

    Use it in a ``with`` statement: it keeps threads from one run to the next.
    """

    def __init__(
        self,
        handler: Callable[..., Any],
        *,
        server_class: type | None = None,
        invariants: Iterable[Invariant] = (),
        without: Iterable[str] = (),
        rules: Iterable[FaultRule] = (),
        twice: bool = False,
        attributes: dict[str, Any] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        own = tuple(invariants)
        replaced = set(map(name_of, own))
        known = (*(each for each in BUILT_IN if name_of(each) not in replaced), *own)
        without = frozenset(without)
        names = {*map(name_of, known), INDEPENDENT_OF_CUTS, INDEPENDENT_OF_OTHERS}
        for name in without:
            if name not in names:
                raise ValueError(
                    f"without must name invariants, of {', '.join(sorted(names))}; not {name!r}"
                )
        self._handler = handler
        self._server_class = server_class
        self._invariants = [each for each in known if name_of(each) not in without]
        self._rules = tuple(rules)
        self._twice = twice
        self._attributes = attributes
        self._patience = patience
        self._crew = Crew()
        self._comparison = Comparison(
            self.play,
            cuts=INDEPENDENT_OF_CUTS not in without,
            others=INDEPENDENT_OF_OTHERS not in without,
        )

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.close()

    def play(self, script: Script, *, rules: Iterable[FaultRule] = ()) -> Run:
        """Play *script* once; look at nothing."""
        return play(
            script,
            self._handler,
            server_class=self._server_class,
            rules=rules,
            attributes=self._attributes,
            crew=self._crew,
            patience=self._patience,
        )

    def examine(self, script: Script, *, with_rules: bool = False) -> Run:
        """Play *script*; return its run with all that does not hold.

        :param with_rules: whether faults may happen that are not the script's.
        """
        rules = self._rules if with_rules else ()
        run = self.play(script, rules=rules)
        findings = [*check_invariants(run, self._invariants), *self._comparison.findings(run)]
        if self._twice and not run.computes:
            findings += _differences(run, self.play(script, rules=rules))
        return attrs.evolve(run, findings=tuple(findings))

    def shorten(self, run: Run) -> Run:
        """Return the run of the shortest script that shows the first finding of *run*.

        It is *run* itself where somebody still computes: each attempt would take as long, and leave
        one more behind.
        """
        if run.computes:
            return run
        wanted = run.findings[0].invariant

        def fails(script: Script) -> bool:
            return any(each.invariant == wanted for each in self.examine(script).findings)

        # The faults that happened, one by one, instead of the rules that they were drawn from.
        if not fails(run.script):
            return run
        return self.examine(shrink(run.script, fails, most=_SHRINKING))


def _differences(run: Run, again: Run) -> Iterator[Finding]:
    if run.signature() == again.signature():
        return
    index = first_difference(run.timeline, again.timeline)
    if index is None:
        yield Finding(DETERMINISTIC, "the timelines are equal, but not what else is told")
        return
    one, other = (
        str(each.timeline[index]).strip() if index < len(each.timeline) else "the end"
        for each in (run, again)
    )
    message = f"moment {index + 1} was [{one}] and then [{other}]"
    yield Finding(DETERMINISTIC, message)


def simulate(
    handler: Callable[..., Any],
    *,
    server_class: type | None = None,
    clients: Sequence[ClientScript] = (),
    send: Sequence[bytes] = (),
    seeds: Iterable[int] = range(1000),
    faults: Iterable[FaultRule] | None = None,
    variety: Variety | None = None,
    invariants: Iterable[Invariant] = (),
    without: Iterable[str] = (),
    twice: bool = False,
    between_lines: bool = False,
    attributes: dict[str, Any] | None = None,
    handler_name: str | None = None,
    server_name: str | None = None,
    stop_at: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    patience: float = PATIENCE,
) -> Report:
    """Play a script for each seed, and say what does not hold.

    The seed in which somebody computes for longer than *patience* is the last.

    :param handler: what to torment.
    :param clients: what clients may do, undisturbed; a seed chooses among them.
    :param send: instead of clients: messages that each client sends.
    :param seeds: which seeds.
    :param faults: what may go wrong; None for :data:`~.faults.DEFAULT_FAULTS`, or, where clients
        send datagrams, :data:`~.faults.DATAGRAM_FAULTS`.
    :param variety: what else a seed may draw.
    :param between_lines: whether others may move between lines of a blocking handler, too, and not
        only where it waits; finds races, and takes several times as long.
    :param handler_name: what a regression test is to import, as ``"module:Name"``; None for where
        the handler was defined, if it can be found there.
    :param server_name: likewise for the server class.
    :param stop_at: after how many failed seeds to stop; None for never.
    :param progress: called after each seed with how many are done and how many have failed.

    The others as for :class:`Simulation`.

    :raises ValueError: neither *clients* nor *send* is given, or both are; *stop_at* is less than
        1; *without* names no invariant.
    """
    if bool(clients) == bool(send):
        raise ValueError("give clients, or messages to send, but not both")
    if stop_at is not None and stop_at < 1:
        raise ValueError(f"stop_at must be 1 or more, or None for never, not {stop_at!r}")
    if send:
        clients = clients_that_send(send, datagrams=_is_datagram_server(server_class))
    if faults is None:
        in_datagrams = any(client.uses_datagrams for client in clients)
        faults = DATAGRAM_FAULTS if in_datagrams else DEFAULT_FAULTS
    names = {
        "handler": _name(handler) if handler_name is None else handler_name,
        "server": _name(server_class) if server_name is None else server_name,
    }
    begun = time.perf_counter()
    reached = Reached()
    failures: dict[str, Failure] = {}
    failed: list[int] = []
    with Simulation(
        handler,
        server_class=server_class,
        invariants=invariants,
        without=without,
        rules=faults,
        twice=twice,
        attributes=attributes,
        patience=patience,
    ) as simulation:
        for done, seed in enumerate(seeds, 1):
            script = generate(seed, clients, variety, between_lines=between_lines, **names)
            run = simulation.examine(script, with_rules=True)
            reached.add(run)
            if run.findings:
                failed.append(seed)
                first = run.findings[0].invariant
                if first not in failures:
                    short = simulation.shorten(run)
                    failures[first] = Failure(seed, run, short.script, short)
            if progress is not None:
                progress(done, len(failed))
            if len(failed) == stop_at or run.computes:  # it would slow down all that follow
                break
    seconds = time.perf_counter() - begun
    return Report(tuple(failures.values()), tuple(failed), reached, seconds)


def check(
    script: Script,
    handler: Callable[..., Any],
    *,
    server_class: type | None = None,
    invariants: Iterable[Invariant] = (),
    without: Iterable[str] = (),
    attributes: dict[str, Any] | None = None,
) -> Run:
    """Play *script* and return its run, if all holds that must: what a regression test does.

    The arguments as for :class:`Simulation`.

    :raises AssertionError: something does not hold; the message has the timeline.
    """
    with Simulation(
        handler,
        server_class=server_class,
        invariants=invariants,
        without=without,
        attributes=attributes,
    ) as simulation:
        run = simulation.examine(script)
    if run.findings:
        raise AssertionError(run.report())
    return run


def _name(thing: Any) -> str | None:
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    if not module or not name or "<" in name or module == "__main__":
        return None
    return f"{module}:{name}"


def _is_datagram_server(server_class: type | None) -> bool:
    names = {base.__name__ for base in getattr(server_class, "__mro__", ())}
    return "UDPServer" in names
