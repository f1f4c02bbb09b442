"""``python -m trio_backend PROGRAM`` runs a program on trio, with its ``socketserver`` replaced."""

from __future__ import annotations

from sansio_server.cli.console import REFUSED, CommandError
from sansio_server.cli.run_program import Option, main
from trio_backend import blocking

__all__ = ["GREENLETS"]

_LIMITS = """\
with --greenlets a threading server has no threads: each handler runs in a trio task, which waits
for the client whenever the request, rfile or wfile would block. All handlers share one thread:
  - Any other blocking call, such as time.sleep() or a database query, holds up all of them, and so
    does a handler that computes.
  - A threading.Lock held while a handler waits for its client leads to a deadlock: the next handler
    that asks for it blocks the thread, and the first can never release it.
  - threading.local() is shared by all of them; each handler has context variables of its own.
  - A request can only be used by its own handler, not by threads that the handler starts.
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
