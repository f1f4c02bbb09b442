"""Cancel scopes that are kept, and serve one request after the other.

Each request has a task of its own, and may be cut alone. To enter and leave a cancel scope for it
costs a tenth of a short connection. So some are kept: each is that of a nursery which a
task holds open, and in which requests are served, one at a time. What is cancelled is not used
again.
"""

from __future__ import annotations

from typing import Final

import trio

__all__ = ["KEPT", "KeptScope", "KeptScopes"]

#: How many scopes are kept at most. Requests that find none free enter one of their own.
KEPT: Final = 64


class KeptScope:
    """A scope that serves one request at a time: to be entered and left by the task of each.

    Where an exception comes out of it, the nursery is cancelled, and the scope is not kept.

    :param scopes: what it is one of.
    :param nursery: where the request's task is to be started.
    :ivar cancel_called: whether it was cancelled, or is kept no more.
    """

    __slots__ = ("_scopes", "cancel_called", "nursery")

    def __init__(self, scopes: KeptScopes, nursery: trio.Nursery) -> None:
        self._scopes = scopes
        self.nursery = nursery
        self.cancel_called = False

    def cancel(self) -> None:
        """Cancel the task of the request that it serves."""
        self.cancel_called = True
        self.nursery.cancel_scope.cancel()

    def __enter__(self) -> None:
        """Begin; the task is in the nursery already."""

    def __exit__(self, exc_type: object, exc_value: object, exc_traceback: object) -> None:
        if exc_type is None:
            self._scopes._take_back(self)


class KeptScopes:
    """The scopes of one run of a loop.

    :param nursery: where the tasks are started that hold them open.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._free: list[KeptScope] = []
        self._held = 0
        self._ended = False
        self._make_one()

    def _make_one(self) -> None:
        self._held += 1
        self._nursery.start_soon(self._hold)

    def take(self) -> KeptScope | None:
        """Return a scope that is free; None if there is none yet, or there are enough."""
        if self._free:
            return self._free.pop()
        if self._held < KEPT and not self._ended:
            self._make_one()
        return None

    def end(self) -> None:
        """Keep none any more."""
        self._ended = True
        for kept in self._free:
            kept.cancel()

    def _take_back(self, kept: KeptScope) -> None:
        if self._ended:
            kept.cancel()
        elif not kept.cancel_called:
            self._free.append(kept)

    async def _hold(self) -> None:
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                kept = KeptScope(self, nursery)
                self._take_back(kept)
                try:
                    await trio.sleep_forever()
                finally:  # before the nursery closes, or somebody might be sent there
                    kept.cancel_called = True
                    if kept in self._free:
                        self._free.remove(kept)
        except BaseException as error:  # noqa: BLE001 - raised where no group is made of it
            failure = _alone(error)
        finally:
            self._held -= 1
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # or it would hold itself, and what its frames have open


def _alone(error: BaseException) -> BaseException:
    """Return what came out of the one task of a nursery, as that task raised it."""
    several = getattr(error, "exceptions", (error,))
    failures = [each for each in several if not isinstance(each, trio.Cancelled)]
    return failures[0] if len(failures) == 1 else error
