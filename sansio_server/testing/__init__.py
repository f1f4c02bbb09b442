"""The testing kit: servers in memory, with no socket and no wall clock."""

from __future__ import annotations

# Its parts, each on those before it: timeline, scripts, world, sockets, servers, runs, simulation,
# real_sockets; and by themselves recording, offline. Above them stand strategies and machine, for
# Hypothesis, and plugin, for pytest. tests/test_layers.py holds the order.
from .offline.rerun import Divergence, Rerun, rerun
from .offline.what_if import Projection, what_if
from .real_sockets.backends import REAL_BACKENDS, RealBackend, on_backend
from .real_sockets.replaying import Replay, replay
from .real_sockets.server import RealServer
from .recording.flight_recorder import FlightRecorder, Traces, recorded
from .recording.format import Record, as_records, read_recording
from .runs.invariants import BUILT_IN, Invariant, check_invariants, excuse_errors
from .runs.reached import Reached
from .runs.run import Finding, Run, Seen
from .scripts.actions import (
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
from .scripts.faults import DATAGRAM_FAULTS, DEFAULT_FAULTS, FAULT_KINDS, Fault, FaultRule
from .scripts.generating import Variety, clients_that_send, generate
from .scripts.printing import regression_test, to_source
from .scripts.script import Script, script_from_json, script_to_json
from .scripts.shrinking import shrink
from .servers.adoption import in_memory
from .servers.classes import (
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
from .servers.clients import Client, DatagramClient, PacketClient, StreamClient
from .servers.scripted import ScriptedServer
from .simulation.playing import play
from .simulation.simulation import Failure, Report, Simulation, check, simulate
from .timeline.html_page import Section, page, timeline_page
from .timeline.moments import Moment, render
from .world.errors import Deadlock, LeftBehind, Stuck
from .world.world import World, current_world

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
    "PacketClient",
    "Projection",
    "Reached",
    "RealBackend",
    "RealServer",
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
    "StreamClient",
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
    "on_backend",
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
