"""The names that the package offers."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import sansio_server

PACKAGE = Path(sansio_server.__file__).parent
MODULES = sorted({path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"})


def test_every_name_offered_is_there_once_and_in_order() -> None:
    for name in sansio_server.__all__:
        assert hasattr(sansio_server, name), name
    assert len(set(sansio_server.__all__)) == len(sansio_server.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_name_a_module_offers_is_there(module: str) -> None:
    namespace = vars(importlib.import_module(f"sansio_server.{module}"))
    for name in namespace["__all__"]:
        assert name in namespace, name


@pytest.mark.parametrize("name", sansio_server.__all__)
def test_every_name_offered_is_that_of_one_module(name: str) -> None:
    homes = [
        module
        for module in MODULES
        if name in importlib.import_module(f"sansio_server.{module}").__all__
    ]
    assert len(homes) == 1
    module = importlib.import_module(f"sansio_server.{homes[0]}")
    assert getattr(module, name) is getattr(sansio_server, name)


def test_the_version_is_that_of_the_distribution() -> None:
    assert sansio_server.__version__ == version("sansio-server")
    assert re.fullmatch(r"\d+\.\d+\.\d+", sansio_server.__version__)


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
