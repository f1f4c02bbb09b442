from __future__ import annotations

import pytest

from tests.examples.programs import run

CLIENTS = ["tcp_client.py", "lines_client.py", "udp_client.py"]


@pytest.mark.parametrize("program", CLIENTS)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http"])
def test_an_address_of_the_wrong_form_is_named(program: str, address: str) -> None:
    result = run(program, address, "text")
    assert result.returncode == 2
    assert f"invalid address value: {address!r}" in result.stderr
