"""The testing kit: servers in memory, with no socket and no wall clock."""

from __future__ import annotations

from .actions import (
    Action,
    ClientScript,
    Close,
    CloseServer,
    Connect,
    Drain,
    Expect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveExactly,
    ReceiveLine,
    ReceiveToEnd,
    Reset,
    Resume,
    Send,
    SendDatagram,
    Shutdown,
    Suspend,
    Wait,
)
from .adoption import in_memory
from .clients import Client, DatagramClient
from .errors import Deadlock, LeftBehind, Stuck
from .faults import DATAGRAM_FAULTS, DEFAULT_FAULTS, FAULT_KINDS, Fault, FaultRule
from .flight_recorder import FlightRecorder, Traces, recorded
from .generating import Variety, clients_that_send, generate
from .invariants import BUILT_IN, Invariant, check_invariants, excuse_errors
from .offline import Divergence, Rerun, rerun
from .playing import play
from .printing import regression_test, to_source
from .reached import Reached
from .recording import Record, as_records, read_recording
from .replaying import REAL_BACKENDS, Replay, replay
from .runs import Finding, Run, Seen
from .script import Script, script_from_json, script_to_json
from .scripted import ScriptedServer
from .servers import (
    BaseServer,
    ForkingMixIn,
    ForkingTCPServer,
    ForkingUDPServer,
    ForkingUnixDatagramServer,
    ForkingUnixStreamServer,
    TCPServer,
    ThreadingMixIn,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadingUnixDatagramServer,
    ThreadingUnixStreamServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
)
from .shrinking import shrink
from .simulation import Failure, Report, Simulation, check, simulate
from .timeline import Moment, render
from .timeline_html import Section, page, timeline_page
from .what_if import Projection, what_if
from .world import World, current_world

__all__ = [
    "BUILT_IN",
    "DATAGRAM_FAULTS",
    "DEFAULT_FAULTS",
    "FAULT_KINDS",
    "REAL_BACKENDS",
    "Action",
    "BaseServer",
    "Client",
    "ClientScript",
    "Close",
    "CloseServer",
    "Connect",
    "DatagramClient",
    "Deadlock",
    "Divergence",
    "Drain",
    "Expect",
    "Failure",
    "Fault",
    "FaultRule",
    "Finding",
    "FlightRecorder",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "ForkingUnixDatagramServer",
    "ForkingUnixStreamServer",
    "HalfClose",
    "Invariant",
    "LeftBehind",
    "Moment",
    "Projection",
    "Reached",
    "Receive",
    "ReceiveDatagram",
    "ReceiveExactly",
    "ReceiveLine",
    "ReceiveToEnd",
    "Record",
    "Replay",
    "Report",
    "Rerun",
    "Reset",
    "Resume",
    "Run",
    "Script",
    "ScriptedServer",
    "Section",
    "Seen",
    "Send",
    "SendDatagram",
    "Shutdown",
    "Simulation",
    "Stuck",
    "Suspend",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "Traces",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
    "Variety",
    "Wait",
    "World",
    "as_records",
    "check",
    "check_invariants",
    "clients_that_send",
    "current_world",
    "excuse_errors",
    "generate",
    "in_memory",
    "page",
    "play",
    "read_recording",
    "recorded",
    "regression_test",
    "render",
    "replay",
    "rerun",
    "script_from_json",
    "script_to_json",
    "shrink",
    "simulate",
    "timeline_page",
    "to_source",
    "what_if",
]
