"""Running a program that was not written for this package, with its ``socketserver`` replaced.

Backends with the interface of the standard library's module offer this as ``python -m BACKEND``.
"""

from __future__ import annotations

import importlib.util
import io
import os
import pkgutil
import sys
from collections.abc import Callable, Container, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any

import attrs

from .console import CommandError, Parser, complain
from .search_path import has_own_entry

__all__ = ["Option", "main"]

_DESCRIPTION = """\
Run a Python program with {name} in the place of the standard library's socketserver, which it
uses by itself or through http.server, xmlrpc.server, wsgiref.simple_server, logging.config or the
like. The program finds its arguments, its path and its name as if Python itself had run it.
"""

_EPILOG = """\
examples:
  {prog} server.py --port 8000
  {prog} -m http.server 8000 --bind 127.0.0.1

exit status:
  2 if there is no such program, otherwise the program's own
"""


@attrs.frozen
class Option:
    """An option that a backend has beside those that all have.

    :ivar name: as it is written: ``--NAME``. It takes no value.
    :ivar help: what it does, for the list of options.
    :ivar apply: called if it is given, before the program runs; raises :class:`CommandError` for
        what cannot be had.
    :ivar notes: what else there is to know, for the end of the help.
    """

    name: str
    help: str
    apply: Callable[[], object]
    notes: str = ""


def main(
    replacement: ModuleType, argv: Sequence[str] | None = None, options: Sequence[Option] = ()
) -> None:
    """Run a program in the place of this one, as its ``__main__``.

    :param replacement: what ``import socketserver`` is to give.
    :param argv: the program, or ``-m`` and a module, and the program's arguments; None for the
        arguments of the process.
    :param options: what else may be given before the program.
    :raises SystemExit: help was asked for, or there is no such program; or the program raised it.
    :raises BaseException: what the program raised.
    """
    prog = f"python -m {replacement.__name__.partition('.')[0]}"
    ours, theirs = _split(
        sys.argv[1:] if argv is None else list(argv), {option.name for option in options}
    )
    _hide_this()
    try:
        parser = _parser(prog, replacement.__name__, options)
        args = parser.parse_args(ours)
        if args.program is None and args.module is None:
            parser.error("which program? write PROGRAM, or -m MODULE")
        for option in options:
            if option.name in ours:
                option.apply()
        _replace(replacement, prog)
        sys.argv = ["-m" if args.program is None else args.program, *theirs]
        if args.module is not None:
            program, code = _find_module(args.module)
            sys.argv[0] = str(program.__file__)
        else:
            program, code = _find_file(args.program)
    except CommandError as error:
        complain(prog, error)
        raise SystemExit(error.status) from None
    # Not by runpy, which takes `__main__` back at the end, when threads of the program may go on.
    sys.modules["__main__"] = program
    exec(code, program.__dict__)  # noqa: S102 - running it is what was asked for


def _split(arguments: list[str], known: Container[str]) -> tuple[list[str], list[str]]:
    """Return the arguments up to the program, and the program's own.

    :param known: the options that are not the program's.
    """
    end = 0
    while end < len(arguments):
        word = arguments[end]
        end += 2 if word in ("-m", "--") else 1
        if word in known:
            continue
        if word.startswith(("-m", "--")) or not word.startswith("-"):
            break
    return arguments[:end], arguments[end:]


def _parser(prog: str, name: str, options: Sequence[Option]) -> Parser:
    names = "".join(f" [{option.name}]" for option in options)
    notes = "".join(f"{option.notes}\n" for option in options if option.notes)
    parser = Parser(
        prog=prog,
        usage=f"%(prog)s [-h]{names} (PROGRAM | -m MODULE) [ARGUMENT ...]",
        description=_DESCRIPTION.format(name=name),
        epilog=notes + _EPILOG.format(prog=prog),
    )
    for option in options:
        parser.add_argument(option.name, action="store_true", help=option.help)
    parser.add_argument(
        "program", metavar="PROGRAM", nargs="?", help="a file, or a folder or zip with __main__.py"
    )
    parser.add_argument("-m", metavar="MODULE", dest="module", help="a module or a package")
    return parser


def _replace(replacement: ModuleType, prog: str) -> None:
    genuine = sys.modules.get("socketserver")
    sys.modules["socketserver"] = replacement
    if genuine is None:
        return
    # Something that Python runs at its start (sitecustomize, a .pth file) was there before.
    early = sorted(
        name
        for name, module in sys.modules.items()
        if module is not genuine
        and any(
            value is genuine or getattr(value, "__module__", None) == genuine.__name__
            for value in list(getattr(module, "__dict__", {}).values())
        )
    )
    if early:
        print(
            f"{prog}: warning: imported before the program, with the standard library's "
            f"socketserver: {', '.join(early)}",
            file=sys.stderr,
        )


def _find_file(path: str) -> tuple[ModuleType, CodeType]:
    # Made absolute as Python does it, which leaves dots where they are.
    file = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    importer = pkgutil.get_importer(file)
    if importer is not None:  # it is a folder or a zip
        sys.path[: has_own_entry()] = [file]
        spec = importer.find_spec("__main__")
        if spec is None:
            raise CommandError(f"there is no __main__.py in {path!r}")
        return _load(spec)
    try:
        with io.open_code(file) as opened:
            source = opened.read()
    except OSError as error:
        raise CommandError(f"cannot open {path!r}: {error.strerror}") from error
    if has_own_entry():
        sys.path[0] = os.path.dirname(os.path.realpath(file))
    program = ModuleType("__main__")
    program.__file__ = file
    program.__loader__ = SourceFileLoader("__main__", file)
    program.__dict__["__cached__"] = None
    return program, compile(source, file, "exec", dont_inherit=True)


def _find_module(name: str) -> tuple[ModuleType, CodeType]:
    if not name or name.startswith("."):
        raise CommandError(f"{name!r} is not the full name of a module")
    hint = f"; a module has no .py: {name[:-3]!r}" if name.endswith(".py") else ""
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
            hint = f"; the package {name!r} has no module __main__"
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is the program that misses something
        spec = None
    if spec is None:
        raise CommandError(f"there is no module {name!r} to run{hint}")
    return _load(spec)


def _load(spec: ModuleSpec) -> tuple[ModuleType, CodeType]:
    loader: Any = spec.loader
    code = loader.get_code(spec.name)
    if code is None:
        raise CommandError(f"there is no Python code in {spec.name!r}")
    program = ModuleType("__main__")
    program.__spec__ = spec
    program.__loader__ = loader
    program.__package__ = spec.parent
    program.__file__ = spec.origin
    program.__dict__["__cached__"] = spec.cached
    return program, code


def _hide_this() -> None:
    """Let the traceback of an exception that ends the program begin in the program."""
    show = sys.excepthook

    def excepthook(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        entry = trace
        while entry is not None:
            following = entry.tb_next
            if entry.tb_frame.f_globals is globals():
                trace = following
            entry = following
        show(kind, error.with_traceback(trace), trace)

    sys.excepthook = excepthook
