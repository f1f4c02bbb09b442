"""What holds for every test of the kit."""

from tests.idle_threads import idle_threads_end_soon  # noqa: F401 - pytest finds it here
