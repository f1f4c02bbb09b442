"""The standard library's own servers run on ours, unmodified, when they are run through it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import xmlrpc.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.sync_backend.outside import OURS, PATIENCE, Running, running

LINEAGE = "[base.__module__ for base in type(server).__mro__]"


def get(url: str) -> tuple[str, bytes]:
    """Fetch a page; return the status line and the body once the server has ended the request."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE) as client:
        target = url.removeprefix(f"http://{parts.netloc}")
        client.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        with client.makefile("rb") as reply:
            head, _, body = reply.read().partition(b"\r\n\r\n")
    return head.decode().partition("\r\n")[0].partition(" ")[2], body


def check_lineage(program: Running) -> None:
    """Check that the server, which tells where its classes come from, is one of ours."""
    modules = program.line()
    assert "sync_backend.sockets" in modules
    assert "socketserver" not in modules


def write(folder: Path, source: str) -> list[str]:
    """Write a program; return the command that runs it."""
    (folder / "program.py").write_text(source)
    return [*OURS, "program.py"]


def test_http_server(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("the page\n")
    arguments = ["-m", "http.server", "0", "--bind", "127.0.0.1"]
    with running([*OURS, *arguments], tmp_path) as program:
        match = re.search(r"\((http://127\.0\.0\.1:\d+/)\)", program.line())
        assert match
        assert get(match[1] + "page.txt") == ("200 OK", b"the page\n")
        status, out, err = program.interrupt()
    assert (status, out) == (0, "\nKeyboard interrupt received, exiting.\n")
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /page\.txt HTTP/1\.0" 200 -\n', err)


def test_a_client_that_stays_holds_nobody_up(tmp_path: Path) -> None:
    source = f"""
import http.server

class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass

with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print({LINEAGE})
    print(server.server_port)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("interrupted")
"""
    with running(write(tmp_path, source), tmp_path) as program:
        check_lineage(program)
        port = int(program.line())
        connections = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(3)]
        for _ in range(2):  # each connection is kept
            for connection in connections:
                connection.request("GET", "/program.py")
                assert connection.getresponse().read() == source.encode()
        assert program.interrupt() == (0, "interrupted\n", "")
        for connection in connections:
            connection.close()


def test_xmlrpc(tmp_path: Path) -> None:
    source = f"""
from xmlrpc.server import SimpleXMLRPCServer

with SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
    server.register_function(pow)
    server.register_introspection_functions()
    print({LINEAGE})
    print(server.server_address[1])
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("interrupted")
"""
    with running(write(tmp_path, source), tmp_path) as program:
        check_lineage(program)
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{program.line()}") as proxy:
            assert proxy.pow(2, 10) == 1024
            methods = proxy.system.listMethods()
            assert isinstance(methods, list)
            assert "pow" in methods
            with pytest.raises(xmlrpc.client.Fault, match="unsupported operand"):
                proxy.pow("2", 10)
        assert program.interrupt() == (0, "interrupted\n", "")


def test_wsgi(tmp_path: Path) -> None:
    source = f"""
from wsgiref.simple_server import WSGIRequestHandler, demo_app, make_server

class Quiet(WSGIRequestHandler):
    def log_message(self, *args): pass

with make_server("127.0.0.1", 0, demo_app, handler_class=Quiet) as server:
    print({LINEAGE})
    print(server.server_port)
    server.handle_request()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("interrupted")
"""
    with running(write(tmp_path, source), tmp_path) as program:
        check_lineage(program)
        port = program.line()
        for _ in range(3):
            status, page = get(f"http://127.0.0.1:{port}/path?query")
            assert status == "200 OK"
            assert page.startswith(b"Hello world!")
            assert b"QUERY_STRING = 'query'" in page
        assert program.interrupt() == (0, "interrupted\n", "")


def test_pydoc(tmp_path: Path) -> None:
    with running([*OURS, "-m", "pydoc", "-p", "0", "-n", "127.0.0.1"], tmp_path) as program:
        match = re.fullmatch(r"Server ready at (http://127\.0\.0\.1:\d+/)", program.line())
        assert match
        assert program.line().startswith("Server commands:")
        reply, page = get(match[1] + "sync_backend.html")
        assert reply == "200 OK"
        assert b"Pydoc: package sync_backend" in page
        status, out, err = program.interrupt()
    assert (status, err) == (0, "")
    assert out.endswith("Server stopped\n")


def test_logging_configuration(tmp_path: Path) -> None:
    source = """
import logging, logging.config, signal, threading

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until it is waited for
came = threading.Event()

def verify(config):
    came.set()
    return config

listener = logging.config.listen(0, verify)
listener.start()
listener.ready.wait()
print([base.__module__ for base in listener.rcvr.__mro__])
print(listener.port)
came.wait()
signal.sigwait({signal.SIGINT})
logging.config.stopListening()
listener.join()
print(logging.getLevelName(logging.getLogger("told").level))
"""
    config = json.dumps({"version": 1, "loggers": {"told": {"level": "ERROR"}}}).encode()
    with running(write(tmp_path, source), tmp_path) as program:
        check_lineage(program)
        address = ("127.0.0.1", int(program.line()))
        with socket.create_connection(address, timeout=PATIENCE) as client:
            client.sendall(struct.pack(">L", len(config)) + config)
            assert client.recv(1) == b""  # it is done
        assert program.interrupt() == (0, "ERROR\n", "")
