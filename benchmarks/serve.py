"""The process of one server: ``python -m benchmarks.serve NAME HANDLER CORES``.

It says ``listening PORT`` and serves, or says ``skipped REASON`` and ends. It imports as little as
it can: see `benchmarks.servers`.
"""

from __future__ import annotations

import sys

from .confine import confine
from .servers import SERVERS


def main(name: str, handler: str, cores: str) -> None:
    confine(cores)
    try:
        server = SERVERS[name].make(handler)
    except (ImportError, AttributeError) as error:
        print("skipped", error, flush=True)
        return
    print("listening", server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
