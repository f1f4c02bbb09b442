"""The reference says what the docstrings say, and leaves out no public name."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import sansio_server
import sync_backend
import trio_backend
from docs.make_reference import MODULES, PAGE, markdown, page

NO_CORE = {"sansio_server.cli", "sansio_server.testing", "sansio_server.__main__"}


def test_it_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python docs/make_reference.py"


@pytest.mark.parametrize("package", [sansio_server, sync_backend, trio_backend])
def test_every_public_name_is_there(package: object) -> None:
    entries = set(re.findall(r"^### (\w+)", PAGE.read_text(), re.MULTILINE))
    assert set(package.__all__) - entries == set()  # type: ignore[attr-defined]


def test_every_module_of_the_core_is_there() -> None:
    core = {
        f"sansio_server.{module.name}" for module in pkgutil.iter_modules(sansio_server.__path__)
    }
    public = {name for name in core - NO_CORE if importlib.import_module(name).__all__}
    listed = {name for name in MODULES if name.startswith("sansio_server.")}
    assert public == {name for name in listed if not name.startswith("sansio_server.testing")}


DOCSTRING = """Do ``this`` with *that*, as :meth:`~sansio_server.drain.Drain.step` does.

    ====  =====
    one   two
    ====  =====

    :param that: what :class:`.Step` says,
        and more.
    :raises OSError: never.
    :returns: None, if there is
        nothing.
    """

MARKDOWN = """Do `this` with *that*, as `step()` does.

```text
====  =====
one   two
====  =====
```

- *that*: what `Step` says,
  and more.
- raises `OSError`: never.
- returns: None, if there is
  nothing."""


def test_docstrings_become_markdown() -> None:
    assert markdown(DOCSTRING) == MARKDOWN
