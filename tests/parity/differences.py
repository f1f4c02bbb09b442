"""The differences from the stdlib: all of them, and nothing else may differ.

The documentation explains them under the same row ids. Lines are those of the traces, without the
actor they begin with; it is enough to give a part of each.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable

from tests.parity.difference import (
    CLOSING,
    LOOP,
    REPORTING,
    SERVING,
    WORKERS,
    Case,
    Difference,
)
from tests.parity.instrument import DATAGRAMS, FORKS, INET, INLINE, STREAMS, UNIX
from tests.parity.pool_differences import POOL_DIFFERENCES
from tests.parity.scenarios.lifecycle import NO_ADDRESS, NO_PATH


def older_than(*version: int) -> Callable[[], bool]:
    """Return a condition that holds on Pythons older than this one."""
    return lambda: sys.version_info < version


def refuses_reuse_port_on_unix() -> bool:
    """Say whether the stdlib asks for SO_REUSEPORT on Unix sockets, and the kernel refuses."""
    if not (3, 11) <= sys.version_info < (3, 14):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return False
    return True


DIFFERENCES = (
    Difference(
        row="1",
        stdlib="verify_request() that raises ends the loop, and the request stays open",
        here="handle_error() is told of an Exception; the request is closed either way",
        reason="one client that cannot be verified is no reason to stop serving the others",
        about=(*CLOSING, *REPORTING, *LOOP),
        cases=(
            Case(
                "verify_request raises ValueError",
                stdlib=("serve_forever raised ValueError: verify_request fails",),
                here=("enter handle_error(", "close_request(", "serve_forever returned"),
            ),
            Case("verify_request raises KeyboardInterrupt", here=("close_request(",)),
        ),
    ),
    Difference(
        row="2",
        stdlib="handle_error() that raises in the loop leaves the request open",
        here="the request is closed, then the exception goes on",
        reason="what leaves the loop must not leave a client waiting for ever",
        about=CLOSING,
        cases=(
            *(
                Case(scenario, here=("enter shutdown_request(", "close_request("), ways=INLINE)
                for scenario in (
                    "handle_error raises ValueError",
                    "handle_error raises KeyboardInterrupt",
                    "handle_error re-raises",
                    "handle_error closes and re-raises",
                )
            ),
            *(
                Case(
                    f"process_request and handle_error raise {error}",
                    here=("enter shutdown_request(", "close_request("),
                )
                for error in ("ValueError", "KeyboardInterrupt")
            ),
        ),
    ),
    Difference(
        row="3",
        stdlib="any OSError of get_request() is passed over, so that the loop spins",
        here="for lack of capacity it waits, and says so once; a dead listener ends the loop",
        reason="a server that spins takes the processor from those that could free what it lacks",
        about=("cannot accept", "accepts again", "handle_request"),
        cases=(
            Case(
                "get_request raises EMFILE",
                here=("cannot accept, and waits until it can", "accepts again"),
            ),
            Case(
                "handle_request meets a dead listener",
                stdlib=("handle_request returned",),
                here=("handle_request raised OSError",),
            ),
        ),
    ),
    Difference(
        row="4",
        stdlib="shutdown() in the loop's own thread, or while nothing serves, waits for ever",
        here="it returns at once; a stop asked for while nothing serves ends the next loop",
        reason="a handler must be able to stop its server, and no stop may be lost",
        about=("shutdown() would wait", "serve_forever", "handle_timeout"),
        cases=(
            Case("stopped before serving", stdlib=("shutdown() would wait for ever",)),
            Case(
                "stopped after closing",
                stdlib=("serve_forever raised ValueError: Invalid file descriptor: -1",),
                here=("serve_forever returned",),
            ),
            Case(
                "stopped before handle_request",
                stdlib=("shutdown() would wait for ever", "handle_timeout()"),
            ),
            Case("stopped by the handler", stdlib=("would wait for ever",), ways=INLINE),
            Case("stopped by service_actions", stdlib=("shutdown() would wait for ever",)),
        ),
    ),
    Difference(
        row="5",
        stdlib="shutdown() takes until the loop's next turn, poll_interval at most",
        here="it wakes the loop",
        reason="a stop takes no time, and an idle server none of the processor's",
        about=("shutdown() would wait",),
        cases=(
            Case(
                "stopped while it would sleep for an hour",
                stdlib=("shutdown() would wait for the next turn of the loop",),
            ),
        ),
    ),
    Difference(
        row="6",
        stdlib="server_close() waits as long as clients stay",
        here="the same by default; with drain_timeout it ends requests, and reports on them",
        reason="a client that never leaves must not keep a server from ending",
        names=(
            *("drain", "drain_timeout", "cut_timeout", "drain_report"),
            *("stopping", "stop_ends_input", "end_input_at_stop"),
        ),
    ),
    Difference(
        row="7",
        stdlib="a thread that could not be started is waited for, so that server_close() raises",
        here="it is forgotten",
        reason="the request was reported and closed; there is nothing to wait for",
        about=("server_close",),
        cases=(
            Case(
                "no thread can be started",
                stdlib=("server_close raised RuntimeError: cannot join thread",),
                here=("server_close returned",),
                ways=("threads",),
            ),
        ),
    ),
    Difference(
        row="8",
        stdlib="children keep the listener; handle_request() leaves zombies; strangers are reaped",
        here="the listener is closed in the child; both loops reap, and what the server forked",
        reason="the address is free when the parent has closed it; other code waits for its own",
        about=("listener open", "stranger", "children"),
        cases=(
            Case(
                "the listener seen by handlers",
                stdlib=("listener open: True",),
                here=("listener open: False",),
                ways=FORKS,
                kinds=STREAMS,
            ),
            Case(
                "children reaped one by one",
                stdlib=("2 children",),
                here=("1 children",),
                ways=FORKS,
            ),
            Case(
                "a stranger's child",
                stdlib=("somebody else has reaped the stranger",),
                here=("the stranger exited with 72",),
                ways=FORKS,
            ),
        ),
    ),
    Difference(
        row="9",
        stdlib="there is no limit to requests at a time, nor to the time that each takes",
        here="the same by default; max_connections and request_timeout set limits",
        reason="what is not limited ends with the machine's limits, in the worst of ways",
        names=("max_connections", "when_full", "request_timeout", "shed_request", "limits"),
    ),
    Difference(
        row="10",
        stdlib="DatagramRequestHandler raises when the sender has no address to reply to",
        here="there is no reply, and no error",
        reason="an unnamed sender expects none, and any client could fill the log",
        about=(*REPORTING, *SERVING, "process_request", "exits with"),
        cases=(
            Case(
                "a datagram without a sender",
                stdlib=("finish() raises: TypeError", "enter handle_error(datagram, None"),
                here=("finish(): None",),
            ),
        ),
    ),
    Difference(
        row="11",
        stdlib="allow_reuse_port fails on Unix sockets before 3.14, where Linux refuses the option",
        here="the option is set on IPv4 and IPv6 sockets alone, as in 3.14",
        reason="a Unix socket has no port (CPython gh-128916)",
        about=("main: ",),
        cases=(
            Case(
                "allow_reuse_port",
                stdlib=("constructor raised OSError: [Errno 95]",),
                here=("constructor returned", "SO_REUSEPORT False"),
                kinds=UNIX,
            ),
        ),
        when=refuses_reuse_port_on_unix,
    ),
    Difference(
        row="12",
        stdlib="request_queue_size is 5",
        here="it is the most that the kernel allows, unless a class sets it",
        reason="clients of a burst beyond the queue wait for a second and more",
        about=("backlog", "request_queue_size"),
        cases=(
            Case(
                "the default backlog",
                stdlib=("backlog 5",),
                here=("backlog the most there can be",),
            ),
        ),
        surface=("attribute request_queue_size = ",),
    ),
    Difference(
        row="13",
        stdlib="shutdown_request() or close_request() that raises: the loop tries again, a thread "
        "tells excepthook, a child tells nobody",
        here="handle_error() is told of an Exception, and there is no second close; "
        "a child exits with status 1",
        reason="what failed to close once fails again, and then ends the loop",
        about=(*CLOSING, *REPORTING, *LOOP, *SERVING, *WORKERS),
        cases=(
            *(
                Case(
                    f"{hook} raises ValueError{afterwards}",
                    here=(f"enter handle_error({request}",),
                    kinds=kinds,
                )
                for hook in ("shutdown_request", "close_request")
                for afterwards, request, kinds in (
                    ("", "socket", STREAMS),
                    (" afterwards", "closed socket", STREAMS),
                    ("", "datagram", DATAGRAMS),
                    (" afterwards", "datagram", DATAGRAMS),
                )
            ),
            *(
                Case(
                    f"{hook} raises KeyboardInterrupt{afterwards}",
                    stdlib=("enter shutdown_request(",),
                    ways=INLINE,
                )
                for hook in ("close_request",)
                for afterwards in ("", " afterwards")
            ),
            Case(
                "shutdown_request raises KeyboardInterrupt",
                stdlib=("shutdown_request(",),
                ways=INLINE,
            ),
            Case(
                "shutdown_request raises KeyboardInterrupt afterwards",
                stdlib=("enter shutdown_request(",),
                ways=INLINE,
            ),
            *(
                Case(
                    f"{hook} raises KeyboardInterrupt{afterwards}",
                    stdlib=("exits with 0",),
                    here=("exits with 1",),
                    ways=FORKS,
                )
                for hook in ("shutdown_request", "close_request")
                for afterwards in ("", " afterwards")
            ),
            Case(
                "shutdown_request raises after a handler that raises",
                here=("shutdown_request fails",),
            ),
        ),
    ),
    Difference(
        row="14",
        stdlib="shutdown() in a forked child waits for ever",
        here="it returns at once, and the parent and its other children go on",
        reason="the loop is the parent's; the child has none that it could wait for",
        about=("shutdown() would wait",),
        cases=(
            Case("stopped by the handler in a child", stdlib=("shutdown() would wait for ever",)),
        ),
    ),
    Difference(
        row="15",
        stdlib="an error of bind() does not say what could not be bound",
        here="the address is part of the message",
        reason="the address often comes from a configuration, far from the traceback",
        about=("server_bind", "constructor raised"),
        cases=(
            *(
                Case(f"address {address!r}", here=(f"cannot bind to {address!r}",))
                for address in NO_ADDRESS
            ),
            *(
                Case(f"path {str(path)[:20]}", here=(f"cannot bind to {path!r}",))
                for path in NO_PATH
            ),
        ),
    ),
    Difference(
        row="16",
        stdlib="there is no word of what a server is doing, nor a way to make it pause",
        here="suspend() and resume(), counters, a trace; threads may be used again",
        reason="servers in production are watched, and stopped for a while",
        names=("suspend", "resume", "suspended", "counters", "trace", "reuse_threads"),
    ),
    Difference(
        row="19",
        stdlib="each request gets a thread or a child of its own, or waits for the one before",
        here="pools of threads and of processes that accept by themselves, too",
        reason="a thread or a child costs more than many a request",
        names=(
            *("PoolMixIn", "PoolTCPServer", "PoolUDPServer"),
            *("PoolUnixStreamServer", "PoolUnixDatagramServer"),
            *("PreforkMixIn", "PreforkTCPServer", "PreforkUDPServer"),
            *("PreforkUnixStreamServer", "PreforkUnixDatagramServer"),
            *("pool_size", "processes", "max_requests", "max_requests_jitter"),
            "replace_workers",
        ),
        columns=("sync",),
    ),
    Difference(
        row="17",
        stdlib="handlers are blocking",
        here="they may be asynchronous too, and say so themselves where it can't be seen",
        reason="the same handler serves on an event loop",
        names=("asynchronous", "continue_request", "runtime"),
    ),
    Difference(
        row="18",
        stdlib="server_close() in a thread that serves a request raises RuntimeError",
        here="it does not wait for its own thread",
        reason="all else that it does is done by then",
        about=("server_close raises",),
        cases=(
            Case(
                "server_close called by the handler",
                stdlib=("server_close raises cannot join current thread",),
                ways=("threads",),
            ),
        ),
    ),
    *POOL_DIFFERENCES,
    # What newer versions of the stdlib have, and so has every version of ours.
    Difference(
        row="3.11",
        stdlib="allow_reuse_port is not known before 3.11",
        here="it is, on every Python",
        reason="the interface is that of Python 3.14",
        about=("SO_REUSEPORT",),
        cases=(
            Case(
                "allow_reuse_port",
                stdlib=("SO_REUSEPORT False",),
                here=("SO_REUSEPORT True",),
                kinds=INET,
            ),
        ),
        names=("allow_reuse_port",),
        surface=("attribute allow_reuse_port = False",),
        when=older_than(3, 11),
    ),
    Difference(
        row="3.12",
        stdlib="ForkingUnixStreamServer and ForkingUnixDatagramServer are not there before 3.12",
        here="they are, on every Python",
        reason="the interface is that of Python 3.14",
        names=("ForkingUnixStreamServer", "ForkingUnixDatagramServer"),
        when=older_than(3, 12),
    ),
    # Those of handlers in greenlets.
    Difference(
        row="T5",
        stdlib="the request is a socket",
        here="it has a socket's methods; TLS sockets of the ssl module are refused",
        reason="the waiting is done by the task that the greenlet belongs to",
        columns=("trio-blocking-greenlets", "trio-greenlets"),
        about=("listener", "reads", "SSLSocket", "handle", *REPORTING, *SERVING, "process_request"),
        cases=(
            Case(
                "attributes seen by the handler",
                stdlib=("listener True",),
                here=("listener False",),
                kinds=DATAGRAMS,
                ways=INLINE,
            ),
            *(
                Case(scenario, stdlib=("SSLSocket TLSv1.2",), here=("TypeError",))
                for scenario in (
                    "TLS around the listener",
                    "TLS around the listener, and a client without it",
                    "TLS in get_request",
                )
            ),
        ),
    ),
    Difference(
        row="T6",
        stdlib="each request has a thread",
        here="all share the thread of the loop",
        reason="that there are no threads is what greenlets are for",
        columns=("trio-blocking-greenlets",),
        about=(
            *("thread '", "listener", "server_close", "process_request", "finds"),
            *(*SERVING, *REPORTING),
        ),
        cases=(
            Case(
                "attributes seen by the handler",
                stdlib=("daemon False",),
                here=("thread 'serve_forever' daemon True",),
                ways=("threads",),
            ),
            Case(
                "attributes seen by the handler in a daemon thread",
                stdlib=("(process_request_thread)' daemon True",),
                here=("thread 'serve_forever' daemon True",),
            ),
            Case(
                "no thread can be started",
                stdlib=("raises: RuntimeError: can't start new thread",),
                here=("finish_request(",),
            ),
        ),
    ),
)
