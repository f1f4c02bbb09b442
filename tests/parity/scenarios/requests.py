"""Requests that go well: each handler class, each of its settings, clients of every habit."""

from __future__ import annotations

import functools

from tests.parity.instrument import DATAGRAMS, NO_FORKS, STREAMS, THREADS
from tests.parity.scenario import Scenario
from tests.parity.scenarios import handlers
from tests.parity.steps import (
    END,
    LINE,
    ORDINARY,
    PREPARED,
    Connect,
    HalfClose,
    Leave,
    ReadLine,
    ReadToEnd,
    Reset,
    Script,
    Send,
    Serve,
    Step,
    request,
)

TWO = (Serve(), *request("a"), *request("b"), *END)

UNANSWERED: Script = (Connect("a"), Send("a"), ReadToEnd("a"))

FIVE_LINES = [step for _ in range(5) for step in (Send("a"), ReadLine("a"))]
FIVE_DATAGRAMS = [Send("a", b"%d\n" % number) for number in range(5)]

WHILE_THE_FIRST_IS_SILENT: Script = (Serve(), Connect("a"), *request("b"), *request("a")[1:], *END)

PIECES = [Send("a", piece) for piece in (b"on", b"e\nthreef", b"our\nfi", b"ve\nsix")]
IN_PIECES: Script = (Connect("a"), *PIECES, HalfClose("a"), Serve(), *END)
ALL_AT_ONCE: Script = (Connect("a"), Send("a", b"one\nthreefour\nfive\nsix"), Serve(), *END)


def breaks_off(*steps: Step) -> Script:
    """Return a script in which one client does this before the server starts, and another waits."""
    waiting = (Connect("b"), Send("b"), HalfClose("b"))
    return (Connect("a"), *steps, *waiting, Serve(), *END)


SCENARIOS = (
    Scenario("an ordinary request", ORDINARY),
    # No hook is overridden: a server may take shorter ways than where all are.
    Scenario("hooks not recorded", TWO, recorded=False),
    Scenario(
        "hooks not recorded, five lines",
        (Serve(), Connect("a"), *FIVE_LINES, HalfClose("a"), ReadToEnd("a"), *END),
        handler=handlers.EchoesUntilTheEnd,
        kinds=STREAMS,
        recorded=False,
    ),
    Scenario(
        "hooks not recorded, fails",
        (Serve(), *UNANSWERED, Connect("b"), Send("b"), ReadToEnd("b"), *END),
        handler=handlers.Fails,
        kinds=STREAMS,
        recorded=False,
    ),
    Scenario("two requests", TWO),
    Scenario("clients that came before the server", PREPARED),
    Scenario(
        "five lines of one client",
        (Serve(), Connect("a"), *FIVE_LINES, HalfClose("a"), ReadToEnd("a"), *END),
        handler=handlers.EchoesUntilTheEnd,
        kinds=STREAMS,
    ),
    Scenario(
        "five datagrams of one client",
        (Connect("a"), *FIVE_DATAGRAMS, Serve(), *END),
        kinds=DATAGRAMS,
    ),
    Scenario(
        "a second client is served while the first is silent",
        WHILE_THE_FIRST_IS_SILENT,
        kinds=STREAMS,
        ways=("threads", "forks"),
    ),
    # What the server is given as RequestHandlerClass.
    Scenario("a base handler", ORDINARY, handler=handlers.EchoRequest, handler_base="base"),
    Scenario("a handler that extends setup and finish", ORDINARY, handler=handlers.Nests),
    Scenario("a function", ORDINARY, make_handler=lambda _: handlers.echo, ways=NO_FORKS),
    Scenario("a partial", ORDINARY, make_handler=functools.partial, ways=NO_FORKS),
    Scenario(
        "a lambda", ORDINARY, make_handler=lambda cls: lambda *args: cls(*args), ways=NO_FORKS
    ),
    Scenario("a callable object", ORDINARY, make_handler=handlers.Factory, ways=NO_FORKS),
    Scenario(
        "a bound method",
        ORDINARY,
        make_handler=lambda cls: handlers.Factory(cls).make,
        ways=NO_FORKS,
    ),
    # What handlers read from and write to.
    Scenario(
        "rfile, from pieces",
        IN_PIECES,
        handler=handlers.ReadsInEachWay,
        kinds=STREAMS,
        ways=NO_FORKS,
    ),
    Scenario(
        "rfile, at once",
        ALL_AT_ONCE,
        handler=handlers.ReadsInEachWay,
        kinds=DATAGRAMS,
        ways=NO_FORKS,
    ),
    Scenario("rbufsize 0", ORDINARY, handler=handlers.ReadsUnbuffered, ways=NO_FORKS),
    Scenario("rbufsize 16", ORDINARY, handler=handlers.ReadsBySixteen, ways=NO_FORKS),
    Scenario("wbufsize 0", ORDINARY, handler=handlers.Unbuffered, ways=NO_FORKS),
    Scenario("wbufsize 64", ORDINARY, handler=handlers.Buffered, ways=NO_FORKS),
    Scenario("wbufsize -1", ORDINARY, handler=handlers.BufferedWhole, ways=NO_FORKS),
    Scenario(
        "files closed", ORDINARY, handler=handlers.ClosesItsFiles, kinds=STREAMS, ways=NO_FORKS
    ),
    Scenario("files looked at", ORDINARY, handler=handlers.LooksAtItsFiles, ways=NO_FORKS),
    Scenario("no reply", PREPARED, handler=handlers.SaysNothing),
    Scenario(
        "a large reply",
        (Serve(), *UNANSWERED, *END),
        handler=handlers.SendsMuch,
        kinds=STREAMS,
    ),
    # What a handler finds around it.
    Scenario(
        "attributes seen by the handler",
        ORDINARY,
        handler=handlers.LooksAround,
    ),
    Scenario(
        "attributes seen by the handler in a daemon thread",
        ORDINARY,
        handler=handlers.LooksAround,
        attributes={"daemon_threads": True},
        ways=THREADS,
    ),
    Scenario(
        "a timeout that passes",
        (Serve(), Connect("a"), ReadToEnd("a"), *END),
        handler=handlers.WithTimeout,
        kinds=STREAMS,
    ),
    Scenario(
        "disable_nagle_algorithm", ORDINARY, handler=handlers.WithoutDelay, kinds=("TCPServer",)
    ),
    Scenario(
        "disable_nagle_algorithm where there is none",
        PREPARED,
        handler=handlers.WithoutDelay,
        kinds=("UnixStreamServer",),
    ),
    Scenario(
        "a datagram that is too long",
        (Connect("a"), Send("a", b"0123456789abcdefghi\n"), Serve(), *END),
        attributes={"max_packet_size": 16},
        kinds=DATAGRAMS,
    ),
    Scenario(
        "an empty datagram",
        (Connect("a"), Send("a", b""), Serve(), *END),
        kinds=DATAGRAMS,
    ),
    # Clients of every habit.
    Scenario(
        "a stream without a name",
        (Serve(), Connect("a", unnamed=True), *request("a")[1:], *END),
        kinds=("UnixStreamServer",),
    ),
    Scenario(
        "a datagram without a sender",
        (Connect("a", unnamed=True), Send("a"), Connect("b"), Send("b"), Serve(), *END),
        kinds=("UnixDatagramServer",),
    ),
    Scenario(
        "a client that closes at once",
        breaks_off(Leave("a")),
        handler=handlers.TellsOfErrors,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that sends and closes",
        breaks_off(Send("a"), Leave("a")),
        handler=handlers.TellsOfErrors,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that resets at once",
        breaks_off(Reset("a")),
        handler=handlers.TellsOfErrors,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that sends and resets",
        breaks_off(Send("a"), Reset("a")),
        handler=handlers.TellsOfErrors,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that resets halfway in a line",
        breaks_off(Send("a", b"hel"), Reset("a")),
        handler=handlers.TellsOfErrors,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that resets after a reply",
        (Serve(), Connect("a"), Send("a"), ReadLine("a"), Reset("a"), *END),
        handler=handlers.EchoesUntilTheEnd,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that is gone when buffers are flushed",
        breaks_off(Reset("a")),
        handler=handlers.WritesToNobody,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that half-closes at once",
        (Serve(), Connect("a"), HalfClose("a"), ReadToEnd("a"), *END),
        handler=handlers.TellsOfErrors,
        kinds=STREAMS,
    ),
    Scenario(
        "a client that half-closes halfway in a line",
        (Serve(), Connect("a"), Send("a", b"hel"), HalfClose("a"), ReadToEnd("a"), *END),
        kinds=STREAMS,
    ),
    Scenario(
        "a client that leaves a reply unread",
        (Serve(), Connect("a"), Send("a", LINE + LINE), ReadLine("a"), Leave("a"), *END),
        kinds=STREAMS,
    ),
)
