"""``python -m sync_backend PROGRAM`` runs a program with its ``socketserver`` replaced by this."""

from __future__ import annotations

import sync_backend
from sansio_server.cli.run_program import main

if __name__ == "__main__":
    main(sync_backend)
