"""Who may import whom: arrows point down, and the core does no I/O.

The linter bans imports in the core by name; what it can't say, these tests do: which names one
module may take of a banned one, and what each backend may know of the others.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DRIVERS = {"cli", "testing", "__main__.py"}

# The packages a package may import besides itself, the standard library and type checkers' own.
MAY_IMPORT = {
    "sansio_server": {"attrs"},
    "sync_backend": {"attrs", "sansio_server"},
    "trio_backend": {"attrs", "greenlet", "outcome", "sansio_server", "sync_backend", "trio"},
}


def core_modules() -> Iterator[Path]:
    for path in sorted((ROOT / "sansio_server").rglob("*.py")):
        if path.relative_to(ROOT / "sansio_server").parts[0] not in DRIVERS:
            yield path


def imported_names(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each import in a file as (module, name), name None for the module itself."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            for alias in node.names:
                yield node.module, alias.name


def packages_here() -> list[str]:
    return [name for name in MAY_IMPORT if list((ROOT / name).glob("*.py"))]


def modules_of(package: str) -> Iterator[Path]:
    return core_modules() if package == "sansio_server" else (ROOT / package).rglob("*.py")


@pytest.mark.parametrize("package", packages_here())
def test_arrows_point_down(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package, "_typeshed"} | sys.stdlib_module_names
    strays = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in modules_of(package)
        for module, _ in imported_names(path)
        if module.split(".")[0] not in allowed
    ]
    assert strays == []


def test_the_core_takes_only_constants_of_socket() -> None:
    taken = [
        (path.name, name)
        for path in core_modules()
        for module, name in imported_names(path)
        if module == "socket"
    ]
    strays = [(file, name) for file, name in taken if not (name and name.isupper())]
    assert strays == []
    assert {file for file, _ in taken} <= {"handlers.py"}


@pytest.mark.parametrize("package", ["sansio_server", "sync_backend"])
def test_importing_it_does_not_load_trio(package: str) -> None:
    # A fork's cost follows the size of the parent: trio would double it.
    code = f"import sys, {package}; sys.exit('trio' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
