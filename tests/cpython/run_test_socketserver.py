"""Runs CPython's own tests of `socketserver`, or of what is built on it, with it replaced.

    python run_test_socketserver.py sync_backend
    python run_test_socketserver.py sync_backend --tests test.test_wsgiref --without test_some_case
    python run_test_socketserver.py trio_backend.blocking --greenlets

The last line printed is a JSON object: how many tests ran, and which were skipped or failed. The
replacement holds for this process alone, so that each run is one of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import unittest
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def replace_socketserver(replacement: ModuleType) -> None:
    """Have every import of `socketserver` give *replacement*, whose names say that they are its.

    :raises RuntimeError: it is imported already, and perhaps in use.
    """
    if replacement.__name__ != "socketserver" and "socketserver" in sys.modules:
        raise RuntimeError("socketserver is imported already: too late to replace it")
    for name in replacement.__all__:
        # The tests tell by this what belongs to the module.
        getattr(replacement, name).__module__ = "socketserver"
    sys.modules["socketserver"] = replacement


def each_test(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Return the tests of a suite and of those in it."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each_test(test)
        else:
            yield test


def load(names: Sequence[str], without: Sequence[str]) -> unittest.TestSuite:
    """Load tests by the names of modules, classes or methods, but for those named in *without*."""
    tests = each_test(unittest.defaultTestLoader.loadTestsFromNames(names))
    kept = [test for test in tests if not any(part in test.id() for part in without)]
    return unittest.TestSuite(kept)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("replacement", help="the module to take for socketserver")
    parser.add_argument("--tests", nargs="+", default=["test.test_socketserver"])
    parser.add_argument("--without", nargs="+", default=[], help="parts of ids of tests left out")
    parser.add_argument("--greenlets", action="store_true", help="run handlers in greenlets")
    arguments = parser.parse_args()

    sys.path.insert(0, str(ROOT))
    replacement = importlib.import_module(arguments.replacement)
    if arguments.greenlets:
        vars(replacement)["BaseServer"].blocking_handlers = "greenlets"
    replace_socketserver(replacement)
    # As regrtest's option -u does, before any test is imported.
    vars(importlib.import_module("test.support"))["use_resources"] = ["network", "walltime"]
    suite = load(arguments.tests, arguments.without)
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(suite)
    outcome = {
        "ran": result.testsRun,
        "skipped": {test.id(): reason for test, reason in result.skipped},
        "failed": [test.id() for test, _ in (*result.failures, *result.errors)],
    }
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
