"""What holds for every test of the command line, some of which serve on trio."""

from tests.idle_threads import idle_threads_end_soon

__all__ = ["idle_threads_end_soon"]
