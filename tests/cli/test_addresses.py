from __future__ import annotations

import socket

import pytest

from sansio_server.cli.addresses import Address, parse_address, resolve


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp:127.0.0.1:9999", Address("tcp", host="127.0.0.1", port=9999)),
        ("tcp:localhost:0", Address("tcp", host="localhost", port=0)),
        ("tcp:[::1]:9999", Address("tcp", host="::1", port=9999)),
        ("udp:[fe80::1%lo]:53", Address("udp", host="fe80::1%lo", port=53)),
        ("udp:example.org:65535", Address("udp", host="example.org", port=65535)),
        ("unix:/run/echo", Address("unix", path="/run/echo")),
        ("unixgram:a:b", Address("unixgram", path="a:b")),
    ],
)
def test_each_form_is_read_and_written_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["tcp::9999", ":9999"])
def test_without_a_host_all_interfaces_are_meant(text: str) -> None:
    address = parse_address(text)
    assert address == Address("tcp", host="", port=9999)
    assert resolve(address) == (socket.AF_INET, ("0.0.0.0", 9999))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("", "tcp:HOST:PORT, udp:HOST:PORT, unix:PATH or unixgram:PATH"),
        ("tcp", "write tcp:HOST:PORT"),
        ("http:80", "write tcp:HOST:PORT"),
        ("127.0.0.1:9999", "write tcp:HOST:PORT"),
        ("None", "write tcp:HOST:PORT"),
        (":", "0 to 65535"),
        ("tcp:", "not tcp:HOST:PORT"),
        ("tcp:localhost", "not tcp:HOST:PORT"),
        ("udp:localhost", "not udp:HOST:PORT"),
        ("tcp:::1:9999", "IPv6 HOST in brackets"),
        ("tcp:[::1:9999", "IPv6 HOST in brackets"),
        ("tcp:[]:9999", "IPv6 HOST in brackets"),
        ("tcp:[::1]9999", "IPv6 HOST in brackets"),
        ("tcp:[::1]:1:2", "IPv6 HOST in brackets"),
        ("tcp:localhost:", "has the port ''; a port is 0 to 65535"),
        ("tcp:localhost:http", "has the port 'http'; a port is 0 to 65535"),
        ("tcp:localhost:-1", "has the port '-1'"),
        ("tcp:localhost:65536", "has the port '65536'"),
        ("tcp:localhost:²", "has the port '²'"),
        ("unix:", "write unix:PATH"),
        ("unixgram:", "write unixgram:PATH"),
    ],
)
def test_a_wrong_form_is_named_with_what_would_be_right(text: str, right: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as info:
        parse_address(text)
    message = str(info.value)
    assert message.startswith(repr(text))
    assert right in message


def test_resolving() -> None:
    assert resolve(parse_address("udp:127.0.0.1:53")) == (socket.AF_INET, ("127.0.0.1", 53))
    assert resolve(parse_address("tcp:[::1]:53")) == (socket.AF_INET6, ("::1", 53, 0, 0))
    assert resolve(parse_address("unix:/run/echo")) == (socket.AF_UNIX, "/run/echo")


def test_ipv4_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0))
    four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    answers = [[six, four], [six]]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.pop(0))
    address = parse_address("tcp:host:80")
    assert resolve(address) == (socket.AF_INET, ("127.0.0.1", 80))
    assert resolve(address) == (socket.AF_INET6, ("::1", 80, 0, 0))


def test_a_bound_address_has_the_port_that_was_chosen() -> None:
    assert str(parse_address("tcp::0").bound(("0.0.0.0", 4711))) == "tcp:0.0.0.0:4711"
    assert str(parse_address("udp:[::]:0").bound(("::", 4711, 0, 0))) == "udp:[::]:4711"
    path = parse_address("unix:/run/echo")
    assert path.bound("/run/echo") == path
