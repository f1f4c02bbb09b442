"""Imports the examples, which are programs and in no package."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.examples.programs import EXAMPLES


def load(name: str) -> Any:
    """Import an example as a module. Some import one another, as they stand side by side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module(name)
