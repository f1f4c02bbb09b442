"""Scripts: to JSON and back, and what is said of JSON that is none."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sansio_server.testing.scripts.actions import (
    ClientScript,
    Connect,
    Drain,
    Receive,
    ReceiveLine,
    Send,
    SendDatagram,
    Wait,
)
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script, script_from_json, script_to_json

FULL = Script(
    (
        ClientScript((Connect(), Send(bytes(range(256))), ReceiveLine(timeout=2.5), Receive(3))),
        ClientScript((SendDatagram(b"\xff\n"),), start=0.25),
        ClientScript((Wait(1.0), Drain(2.0))),
    ),
    faults=(Fault("recv", "short", 2, "request 1", 4), Fault("accept", "EMFILE")),
    schedule=17,
    between_lines=True,
    handler="app:Echo",
    server="app.servers:Server",
)


@pytest.mark.parametrize("script", [FULL, Script(()), Script((ClientScript(()),))])
def test_to_json_and_back(script: Script) -> None:
    assert script_from_json(script_to_json(script)) == script


def test_json_says_no_more_than_it_must() -> None:
    assert json.loads(script_to_json(Script((ClientScript((Connect(), Send(b"a\xff"))),)))) == {
        "format": "sansio-server script 1",
        "clients": [{"actions": [{"do": "Connect"}, {"do": "Send", "data": "a\xff"}]}],
        "faults": [],
    }


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(script_to_json(FULL)), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a script must be JSON: "),
        ("[]", "a script must be an object with"),
        ("{}", "a script must be an object with"),
        (changed(clients=None), "clients must be a list, not None"),
        (changed(clients=[1]), "clients[0] must be an object, not 1"),
        (changed(clients=[{}]), "clients[0].actions must be a list, not None"),
        (changed(clients=[{"actions": [{}]}]), 'clients[0].actions[0]: "do" must be one of'),
        (changed(clients=[{"actions": [{"do": ["Send"]}]}]), '"do" must be one of Connect'),
        (
            changed(clients=[{"actions": [{"do": "Send", "data": "€"}]}]),
            "clients[0].actions[0]: data must have a character for each byte",
        ),
        (
            changed(clients=[{"actions": [{"do": "Connect", "data": ""}]}]),
            "clients[0].actions[0] has no 'data'; there are: none",
        ),
        (
            changed(clients=[{"actions": [{"do": "Send", "data": ""}]}]),
            "clients[0]: action 1 is Send(data=b''), but no Connect() is before it",
        ),
        (changed(faults=[{"point": "x", "kind": "y"}]), "faults[0]: point must be one of"),
        (changed(faults=[{}]), "faults[0]: "),
        (changed(schedule="x"), "the script: schedule must be a whole number or None, not 'x'"),
        (changed(handler="x"), "the script: handler must be 'module:Name' or None, not 'x'"),
        (changed(seed=1), "the script has no 'seed'; there are: clients, faults, schedule"),
    ],
)
def test_what_is_no_script(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        script_from_json(text)


def test_a_script_holds_clients_and_faults() -> None:
    with pytest.raises(TypeError, match="clients"):
        Script((Connect(),))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="faults"):
        Script((), faults=("reset",))  # type: ignore[arg-type]
