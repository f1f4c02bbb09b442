"""What the driver costs a request: ``python -m benchmarks.driver_cost``.

Hooks that do nothing are run by the driver, and called directly in the order of the standard
library; the difference is the driver's. The ledger's part is measured by itself too: a place taken,
and given back. No socket, no handler, no thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
import timeit
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sansio_server.driver import continue_request, run_blocking, start_request
from sansio_server.hooks import ServerHooks
from sansio_server.ledger import Place
from sansio_server.request import Step

REQUEST, ADDRESS = object(), ("127.0.0.1", 1)


class Bare:
    """The hooks alone, in the order in which ``socketserver`` calls them."""

    def in_place(self) -> None:
        request, address = REQUEST, ADDRESS
        if self.verify_request(request, address):
            try:
                self.process_request(request, address)
            except Exception:  # noqa: BLE001  # the try is part of what is timed
                self.shutdown_request(request)
        else:
            self.shutdown_request(request)

    def handed_over(self) -> None:
        request, address = REQUEST, ADDRESS
        if self.verify_request(request, address):
            try:
                self.hand_over(request, address)
            except Exception:  # noqa: BLE001  # likewise
                self.shutdown_request(request)
        else:
            self.shutdown_request(request)
        try:
            self.finish_request(request, address)
        finally:
            self.shutdown_request(request)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        self.finish_request(request, client_address)
        self.shutdown_request(request)

    def hand_over(self, request: Any, client_address: Any) -> None:
        pass

    def finish_request(self, request: Any, client_address: Any) -> None:
        pass

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        pass


class InPlace(ServerHooks):
    """The same under the driver; the hooks that place the rest and close are the project's own."""

    def run(self) -> None:
        run_blocking(start_request(self, REQUEST, ADDRESS))

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        worker = threading.get_ident()
        run_blocking(continue_request(self, entry, request, client_address, worker))

    def finish_request(self, request: Any, client_address: Any) -> Any:
        pass

    def _end_early(self, place: Place) -> None:
        pass

    def _now(self) -> float:
        return time.monotonic()

    def _new_lock(self) -> AbstractContextManager[Any]:
        return threading.Lock()


class HandedOver(InPlace):
    """Likewise, with the rest run after ``process_request`` has returned, as a thread does."""

    def run(self) -> None:
        super().run()
        self.continue_request(Step.FINISH, REQUEST, ADDRESS)

    def process_request(self, request: Any, client_address: Any) -> Any:
        pass


class Places(InPlace):
    """The ledger alone: a place taken, found and given back."""

    def run(self) -> None:
        ledger = self._ledger
        key = self._request_key(REQUEST)
        ledger.take(key, ADDRESS, self._now())
        place = ledger.find_exactly(key)
        if place is not None:
            ledger.give_back(place)


def sample(calls: Sequence[Callable[[], None]], repeats: int, number: int) -> list[list[float]]:
    """Time each call *repeats* times in turn, *number* calls at a time; return microseconds."""
    timers = [timeit.Timer(call) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for timer, durations in zip(timers, times, strict=True):
            durations.append(1e6 * timer.timeit(number) / number)
    return times


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.driver_cost", description=__doc__)
    parser.add_argument("--repeats", type=int, default=100, help="samples (default: %(default)s)")
    parser.add_argument("--number", type=int, default=2000, help="calls in one (%(default)s)")
    options = parser.parse_args(arguments)
    servers = (InPlace, HandedOver, Places)
    in_place, handed_over, places = (made(("", 0), lambda *_: None).run for made in servers)
    bare = Bare()
    calls = (bare.in_place, in_place, bare.handed_over, handed_over, places)
    times = sample(calls, options.repeats, options.number)
    print(f"{'µs a request':24}{'bare':>16}{'driven':>16}{'the driver':>16}")
    print(f"{'':24}" + 3 * f"{'min':>8}{'median':>8}")
    for name, first in (("in place", 0), ("handed over", 2)):
        bare_time, driven_time = _summary(times[first]), _summary(times[first + 1])
        cost = (driven_time[0] - bare_time[0], driven_time[1] - bare_time[1])
        print(f"{name:24}" + _columns(*bare_time, *driven_time, *cost))
    print(f"{'of this, the ledger':24}{'':32}" + _columns(*_summary(times[4])))
    return 0


def _summary(times: list[float]) -> tuple[float, float]:
    return min(times), statistics.median(times)


def _columns(*figures: float) -> str:
    return "".join(f"{figure:8.2f}" for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
