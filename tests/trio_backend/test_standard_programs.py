"""The standard library's own servers run on trio, unmodified, with threads and with greenlets."""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import subprocess
import urllib.request
import xmlrpc.client
from pathlib import Path

import pytest

from tests.sync_backend.outside import PATIENCE, PYTHON, Running, running

WAYS = [
    pytest.param([], id="threads"),
    pytest.param(["--greenlets"], id="greenlets"),
]
OURS = [*PYTHON, "-W", "error", "-m", "trio_backend"]

# What each program begins with: a server that tells what its classes are, and who serves.
PREAMBLE = """
import threading

def show(server):
    print([base.__module__ for base in type(server).__mro__], flush=True)
    print(server.server_address[1], flush=True)

def serve(server):
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("interrupted")
"""


def write(folder: Path, source: str, options: list[str]) -> list[str]:
    """Write a program; return the command that runs it."""
    (folder / "program.py").write_text(PREAMBLE + source)
    return [*OURS, *options, "program.py"]


def port_of(program: Running) -> int:
    """Return the port of the server, whose classes must be ours."""
    modules = program.line()
    assert "trio_backend.blocking" in modules
    assert "socketserver" not in modules
    return int(program.line())


def get(url: str) -> bytes:
    """Fetch a page, past any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as response:
        page: bytes = response.read()
        return page


def curl(url: str) -> bytes:
    """Fetch a page as `curl` does, or without it if it is not here."""
    command = shutil.which("curl")
    if command is None:
        return get(url)
    result = subprocess.run(
        [command, "--silent", "--show-error", "--fail", "--noproxy", "*", url],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    return result.stdout


@pytest.mark.parametrize("options", WAYS)
def test_http_server(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("the page\n")
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 8192)  # 2 MiB
    command = [*OURS, *options, "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with running(command, tmp_path) as program:
        match = re.search(r"\((http://127\.0\.0\.1:\d+/)\)", program.line())
        assert match
        assert curl(match[1] + "page.txt") == b"the page\n"
        assert b"page.txt" in curl(match[1])
        assert curl(match[1] + "large.bin") == (tmp_path / "large.bin").read_bytes()
        status, out, err = program.interrupt()
    assert (status, out) == (0, "\nKeyboard interrupt received, exiting.\n")
    assert [line.split('"')[1] for line in err.splitlines()] == [
        "GET /page.txt HTTP/1.1",
        "GET / HTTP/1.1",
        "GET /large.bin HTTP/1.1",
    ]


@pytest.mark.parametrize("options", WAYS)
def test_connections_that_are_kept_hold_nobody_up(options: list[str], tmp_path: Path) -> None:
    source = """
import http.server

class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = f"{len(body)} {threading.active_count()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *args): pass

with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    show(server)
    serve(server)
"""
    with running(write(tmp_path, source, options), tmp_path) as program:
        port = port_of(program)
        connections = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(5)]
        for _ in range(2):
            for connection in connections:
                connection.request("GET", "/program.py")
                assert connection.getresponse().read().decode() == PREAMBLE + source
        connections[0].request("POST", "/", b"x" * 300_000)
        length, threads = map(int, connections[0].getresponse().read().split())
        assert length == 300_000
        assert threads == 1 if options else threads > len(connections)
        assert program.interrupt() == (0, "interrupted\n", "")  # all are still open
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("mix_in", ["", "socketserver.ThreadingMixIn, "], ids=["plain", "threads"])
def test_xmlrpc(options: list[str], mix_in: str, tmp_path: Path) -> None:
    source = f"""
import socketserver
from xmlrpc.server import SimpleXMLRPCServer

class Server({mix_in}SimpleXMLRPCServer): pass

with Server(("127.0.0.1", 0), logRequests=False) as server:
    server.register_function(pow)
    server.register_introspection_functions()
    show(server)
    serve(server)
"""
    with running(write(tmp_path, source, options), tmp_path) as program:
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port_of(program)}") as proxy:
            assert proxy.pow(2, 10) == 1024
            methods = proxy.system.listMethods()
            assert isinstance(methods, list)
            assert "pow" in methods
            with pytest.raises(xmlrpc.client.Fault, match="unsupported operand"):
                proxy.pow("2", 10)
        assert program.interrupt() == (0, "interrupted\n", "")


@pytest.mark.parametrize("options", WAYS)
def test_wsgi(options: list[str], tmp_path: Path) -> None:
    source = """
import socketserver
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, demo_app, make_server

class Quiet(WSGIRequestHandler):
    def log_message(self, *args): pass

class Plain(WSGIServer):
    def shutdown_request(self, request):
        super().shutdown_request(request)
        print("served", flush=True)

class Threading(socketserver.ThreadingMixIn, Plain): pass

for server_class in Plain, Threading:
    with make_server("127.0.0.1", 0, demo_app, server_class, Quiet) as server:
        show(server)
        server.handle_request()
        serve(server)
"""
    with running(write(tmp_path, source, options), tmp_path) as program:
        for _ in range(2):
            port = port_of(program)
            for _ in range(3):
                page = get(f"http://127.0.0.1:{port}/path?query")
                assert page.startswith(b"Hello world!")
                assert b"QUERY_STRING = 'query'" in page
                assert program.line() == "served"  # until then wsgiref takes Ctrl-C for an error
            program.process.send_signal(signal.SIGINT)
            # Where it comes just when the last request is closed, that is closed again.
            assert next(line for line in iter(program.line, None) if line != "served") == (
                "interrupted"
            )
        assert program.process.wait(PATIENCE) == 0
