from __future__ import annotations

import socket

from tests.examples.programs import run, said, serving


def test_answers_each_datagram_with_its_checksum() -> None:
    with serving("udp_server.py") as server:
        # The check value of CRC-32, as catalogues of checksums state it, is that of these digits.
        answers = said("udp_client.py", server.address, "123456789", "")
        assert answers == ["cbf43926 9", "00000000 0"]


def test_the_client_reports_that_nobody_is_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        host, port = unused.getsockname()
    result = run("udp_client.py", f"{host}:{port}", "hello")
    assert result.returncode == 1
    assert result.stderr.startswith("udp_client.py: [Errno")
