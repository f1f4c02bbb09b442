"""`python -m sync_backend` runs programs that were not written for it, as Python itself would."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

import pytest

import sync_backend
from sansio_server.cli.run_program import main
from tests.sync_backend.outside import OURS, PYTHON, ROOT, run

# Says how it was run, and whose socketserver it has.
FACTS = """
import json, sys, socketserver
facts = {name: globals()[name] for name in ("__name__", "__file__", "__doc__", "__package__")}
facts["cached"] = globals().get("__cached__")
facts["loader"] = type(__loader__).__name__
facts["spec"] = __spec__ and [__spec__.name, __spec__.origin]
facts["argv"] = sys.argv
facts["path"] = sys.path[:1]
facts["main"] = vars(sys.modules["__main__"]) is globals()
print(json.dumps(facts))
print(socketserver.__name__)
"""


# As Python itself would.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the program in every form."""
    inside = tmp_path / "inside"
    for path in "program.py", "package/__main__.py", "package/module.py", "application/__main__.py":
        (inside / path).parent.mkdir(parents=True, exist_ok=True)
        (inside / path).write_text(FACTS)
    (inside / "package/__init__.py").touch()
    (tmp_path / "link.py").symlink_to("inside/program.py")
    with zipfile.ZipFile(inside / "application.zip", "w") as archive:
        archive.writestr("__main__.py", FACTS)
    return tmp_path


def facts(command: list[str], folder: Path) -> tuple[dict[str, object], str]:
    """Run the program that says how it was run."""
    result = run(command, folder)
    assert (result.returncode, result.stderr) == (0, "")
    found, name = result.stdout.splitlines()
    return json.loads(found), name


def same_facts(folder: Path, program: str, *flags: str) -> bool:
    """Run a program as Python itself does, and through ours; say whether all is alike."""
    arguments = [*program.split(), "one", "-m", "--help", "-h"]
    theirs, genuine = facts([sys.executable, *flags, *arguments], folder)
    ours, replaced = facts([sys.executable, *flags, "-m", "sync_backend", *arguments], folder)
    assert (genuine, replaced) == ("socketserver", "sync_backend")
    return ours == theirs


@pytest.mark.parametrize(
    ("where", "program"),
    [
        ("inside", "program.py"),
        (".", "inside/program.py"),
        ("inside/package", "../program.py"),
        (".", "link.py"),
        ("inside", "-m program"),
        ("inside", "-mprogram"),
        ("inside", "-m package"),
        ("inside", "-m package.module"),
        ("inside", "application"),
        (".", "inside/application.zip"),
        ("inside", "-- program.py"),
    ],
)
def test_a_program_sees_what_python_shows_it(folder: Path, where: str, program: str) -> None:
    assert same_facts(folder / where, program)


@pytest.mark.parametrize("flag", ["-I", *(["-P"] if sys.version_info >= (3, 11) else [])])
@pytest.mark.parametrize("program", ["inside/program.py", "inside/application"])
def test_the_path_is_as_safe_as_it_was_asked_to_be(folder: Path, program: str, flag: str) -> None:
    assert same_facts(folder, program, flag)


# How it ends.

ENDS = {
    "well": "pass",
    "status": "raise SystemExit(7)",
    "message": "raise SystemExit('what is wrong')",
    "error": "def fail():\n    1 / 0\n\nfail()",
    "chain": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise OSError() from error",
    "syntax": "x = = 1",
    "interrupt": "raise KeyboardInterrupt",
    "at exit": "import atexit; atexit.register(print, 'over')",
}


@pytest.mark.parametrize("source", ENDS.values(), ids=list(ENDS))
def test_a_program_ends_as_it_would(source: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(source)
    theirs = run([*PYTHON, "program.py"], tmp_path)
    ours = run([*OURS, "program.py"], tmp_path)
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode,
        theirs.stdout,
        theirs.stderr,
    )


def test_the_traceback_of_a_module_begins_in_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("1 / 0")
    ended = run([*OURS, "-m", "program"], tmp_path)
    assert ended.returncode == 1
    assert re.findall('File "(.*)",', ended.stderr) == [str(tmp_path / "program.py")]


def test_threads_that_go_on_still_find_the_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import pickle, threading\n"
        "class Class: pass\n"
        "def work():\n"
        "    threading.main_thread().join()\n"
        "    print(pickle.loads(pickle.dumps(Class)) is Class)\n"
        "threading.Thread(target=work).start()\n"
    )
    ended = run([*OURS, "program.py"], tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_no_future_of_the_runner_is_inherited(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("def f(x: 1): pass\nprint(f.__annotations__)")
    assert run([*OURS, "program.py"], tmp_path).stdout == "{'x': 1}\n"


# What cannot be run.


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which program? write PROGRAM, or -m MODULE"),
        (["-m"], "argument -m: expected one argument"),
        (["-x"], "unrecognized arguments: -x"),
        (["missing.py"], "cannot open 'missing.py': No such file or directory"),
        (["folder"], "there is no __main__.py in 'folder'"),
        (["-m", "missing"], "there is no module 'missing' to run"),
        (["-m", "missing.module"], "there is no module 'missing.module' to run"),
        (["-m", "json.missing"], "there is no module 'json.missing' to run"),
        (["-m", "json"], "there is no module 'json' to run; the package 'json' has no module"),
        (["-m", "faulty.py"], "a module has no .py: 'faulty'"),
        (["-m", ".faulty"], "'.faulty' is not the full name of a module"),
        (["-m", ""], "'' is not the full name of a module"),
        (["-m", "sys"], "there is no Python code in 'sys'"),
    ],
)
def test_what_is_not_there_is_one_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "faulty.py").touch()
    monkeypatch.chdir(tmp_path)
    # What is changed for a program, and would be its own affair.
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "argv", ["sync_backend", *arguments])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.delitem(sys.modules, "socketserver", raising=False)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    with pytest.raises(SystemExit) as end:
        main(sync_backend)
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m sync_backend: error: ")
    assert complaint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["-m", "package.module"], ["-m", "package"]])
def test_what_a_package_misses_is_its_own_fault(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").write_text("import missing")
    ended = run([*OURS, *arguments], tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.endswith("ModuleNotFoundError: No module named 'missing'\n")


def test_help(tmp_path: Path) -> None:
    ended = run([*OURS, "--help"], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("usage: python -m sync_backend [-h] (PROGRAM | -m MODULE)")
    assert "python -m sync_backend -m http.server 8000" in ended.stdout


# What was there before.


def test_nothing_of_ours_needs_the_module_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "print({'http.server', 'xmlrpc.server', 'logging.config', 'pydoc'} & set(sys.modules))"
    )
    ended = run([*OURS, "program.py"], tmp_path)
    assert (ended.stdout, ended.stderr) == ("set()\n", "")


EARLY = "python -m sync_backend: warning: imported before the program, with the standard library's "


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import http.server", "http.server"),
        ("import logging.config", "logging.config"),
        ("import socketserver", "sitecustomize"),
        ("from socketserver import TCPServer", "sitecustomize"),
    ],
)
def test_modules_that_came_before_are_named(source: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(source)
    (tmp_path / "program.py").write_text("import socketserver; print(socketserver.__name__)")
    ended = run([*OURS, "program.py"], tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (ended.returncode, ended.stdout) == (0, "sync_backend\n")
    assert ended.stderr == f"{EARLY}socketserver: {named}\n"


def test_nobody_is_named_who_kept_nothing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import socketserver\ndel socketserver")
    (tmp_path / "program.py").write_text("import socketserver; print(socketserver.__name__)")
    ended = run([*OURS, "program.py"], tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "sync_backend\n", "")
