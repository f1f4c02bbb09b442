"""Faults of server classes and their hooks, and their corrections."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from sansio_server import DatagramRequestHandler
from sync_backend import ForkingTCPServer, ThreadingTCPServer, UDPServer


class LeakOnResetFaulty(ThreadingTCPServer):
    """Says goodbye before it closes, and does not close if nobody is there to hear it."""

    def shutdown_request(self, request: Any) -> None:
        request.shutdown(socket.SHUT_WR)
        self.close_request(request)


class LeakOnResetCorrect(ThreadingTCPServer):
    def shutdown_request(self, request: Any) -> None:
        try:
            request.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.close_request(request)


class RaisingHookFaulty(ThreadingTCPServer):
    """Looks at the first byte, and believes that there is one."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        request.settimeout(60.0)
        first: int = request.recv(1, socket.MSG_PEEK)[0]
        request.settimeout(None)
        return first != ord("!")


class RaisingHookCorrect(ThreadingTCPServer):
    def verify_request(self, request: Any, client_address: Any) -> bool:
        request.settimeout(60.0)
        first: bytes = request.recv(1, socket.MSG_PEEK)
        request.settimeout(None)
        return first != b"!"


class RaisingReportFaulty(ThreadingTCPServer):
    """Reports an error with the name of a peer that may have gone."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.last = request.getpeername()
        request.sendall(b"error\n")


class RaisingReportCorrect(ThreadingTCPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        self.last = client_address


class EndlessCloseFaulty(ThreadingTCPServer):
    """Counts who is served, forgets those that fail, and waits for the count to come to nought."""

    active = 0

    def finish_request(self, request: Any, client_address: Any) -> Any:
        self.active += 1
        super().finish_request(request, client_address)
        self.active -= 1

    def server_close(self) -> None:
        super().server_close()
        while self.active:
            time.sleep(1.0)


class EndlessCloseCorrect(ThreadingTCPServer):
    active = 0

    def finish_request(self, request: Any, client_address: Any) -> Any:
        self.active += 1
        try:
            super().finish_request(request, client_address)
        finally:
            self.active -= 1

    def server_close(self) -> None:
        super().server_close()
        while self.active:
            time.sleep(1.0)


class EndlessDrainFaulty(ThreadingTCPServer):
    """Looks whether anybody is served, and then waits to be told: it may have been told before."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.active = 0
        self.ended = threading.Condition()

    def finish_request(self, request: Any, client_address: Any) -> Any:
        with self.ended:
            self.active += 1
        try:
            super().finish_request(request, client_address)
        finally:
            with self.ended:
                self.active -= 1
                self.ended.notify_all()

    def server_close(self) -> None:
        while self.active:
            with self.ended:
                self.ended.wait()
        super().server_close()


class EndlessDrainCorrect(EndlessDrainFaulty):
    def server_close(self) -> None:
        with self.ended:
            while self.active:
                self.ended.wait()
        super().server_close()


class CountInChildFaulty(ForkingTCPServer):
    """Counts its clients in the child that serves each, and so in a copy of itself."""

    tickets = 0

    def ticket(self) -> int:
        self.tickets += 1
        return self.tickets


class CountInChildCorrect(ForkingTCPServer):
    tickets = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.tickets += 1
        super().process_request(request, client_address)

    def ticket(self) -> int:
        return self.tickets


class ServedTwiceFaulty(ThreadingTCPServer):
    """Serves a request again if its client was gone."""

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        super().process_request_thread(request, client_address)
        if self.failed:
            self.failed = False
            super().process_request_thread(request, client_address)

    failed = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.failed = True


class ServedTwiceCorrect(ThreadingTCPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Slots(ThreadingTCPServer):
    """Takes a slot for each request."""

    slots = 3

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self.slots > 0

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots += 1

    def server_close(self) -> None:
        super().server_close()
        assert self.slots == 3, f"{self.slots} slots are left of 3"


class SlotsFaulty(Slots):
    """Does not give the slot back where no thread can be started."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.slots -= 1
        super().process_request(request, client_address)


class SlotsCorrect(Slots):
    def process_request(self, request: Any, client_address: Any) -> None:
        self.slots -= 1
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.slots += 1
            raise


class InOrderFaulty(DatagramRequestHandler):
    """Believes that datagrams come in the order in which they were sent."""

    def handle(self) -> None:
        sessions: dict[Any, bytes] = vars(self.server).setdefault("sessions", {})
        what, _, name = self.packet.partition(b" ")
        if what == b"open":
            sessions[self.client_address] = name
        else:
            self.wfile.write(sessions[self.client_address].upper())


class InOrderCorrect(InOrderFaulty):
    def handle(self) -> None:
        sessions: dict[Any, bytes] = vars(self.server).setdefault("sessions", {})
        if self.packet.startswith(b"open ") or self.client_address in sessions:
            super().handle()


class Packets(UDPServer):
    """A server of datagrams."""
