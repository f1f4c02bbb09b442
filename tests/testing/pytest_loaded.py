"""Loads pytest and all its plugins, by a run without tests; for `tests.preloaded`."""

from __future__ import annotations

import tempfile

import pytest

with tempfile.TemporaryDirectory() as folder:
    status = pytest.main(
        ["-p", "no:terminal", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    )
assert status == pytest.ExitCode.NO_TESTS_COLLECTED, status
