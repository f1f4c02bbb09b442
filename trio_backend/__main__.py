"""``python -m trio_backend PROGRAM`` runs a program on trio, with its ``socketserver`` replaced."""

from __future__ import annotations

from sansio_server.cli.console import REFUSED, CommandError
from sansio_server.cli.run_program import Option, main
from trio_backend import blocking

__all__ = ["GREENLETS"]

_LIMITS = """\
with --greenlets a threading server has no threads: each handler runs in a trio task, which waits
for the client whenever the request, rfile or wfile would block. All handlers share one thread:
  - Any other call that blocks, time.sleep() or a query to a database, holds up all of them, and so
    does a handler that computes.
  - A threading.Lock that a handler holds while it waits for its client is a trap: the next handler
    that asks for it blocks the thread, and the first never gets to let it go.
  - threading.local() is the same for all of them; context variables are each handler's own.
  - A request can be used by its own handler alone, not by threads that the handler starts.
  - A connection that the program wraps in TLS is refused: such sockets can only block.
"""


def _use_greenlets() -> None:
    try:
        from trio_backend import greenlets  # noqa: F401, PLC0415 - an extra, which may be missing
    except RuntimeError as error:
        raise CommandError(str(error), REFUSED) from error
    blocking.BaseServer.blocking_handlers = "greenlets"


#: Where handlers run if not in threads.
GREENLETS = Option(
    "--greenlets",
    help="let handlers be trio tasks in greenlets, not threads",
    apply=_use_greenlets,
    notes=_LIMITS,
)


if __name__ == "__main__":
    main(blocking, options=[GREENLETS])
