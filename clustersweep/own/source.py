"""The code that a study names: found without being imported, known by a digest, and imported on a worker from bytes.

It is taken from beside the study, or from an installed package, and from nowhere else.
"""

import ast
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from clustersweep.words import counted

TARGET = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
MAX_BYTES = 5_000_000
"""Of the files of a package beside a study: they travel to every worker."""


class SourceError(Exception):
    """A study names code that is not to be had.

    Attributes:
        rule: What must hold.
        remedy: What to do about it.
    """

    def __init__(self, rule: str, remedy: str) -> None:
        super().__init__(f"{rule}. {remedy}")
        self.rule, self.remedy = rule, remedy


@dataclass(frozen=True)
class Source:
    """The code of one function.

    Attributes:
        module: Where it is, dotted.
        function: Its name there.
        path: The module's file, on the machine that read the study.
        files: Content by the name relative to the study's folder (`trees.py`, `my_lab/nets.py`); for an installed
            package, of the module's file alone.
        beside: It lies beside the study: its files travel to the workers. Else it must be installed there.
    """

    module: str
    function: str
    path: str
    files: Mapping[str, bytes] = field(repr=False)
    beside: bool

    @functools.cached_property
    def digest(self) -> str:
        """Digest of its files."""
        return digest_of(self.files)

    @property
    def words(self) -> str:
        """Where it is, for a person."""
        many = f" and {counted(len(self.files) - 1, 'other file')} of its package" if len(self.files) > 1 else ""
        installed = "" if self.beside else " (installed)"
        return f"{self.function} of {self.path}{installed}{many}"


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the digest of files by name: 16 hexadecimal digits."""
    found = hashlib.sha256()
    for name, content in sorted(files.items()):
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:16]


# ------------------------------------------------------------------------------------------ finding, on the driver


def find(target: str, folder: Path, arguments: Sequence[str]) -> Source:
    """Find a function that a study names, and import nothing.

    Args:
        target: `module:function`.
        folder: The study's.
        arguments: Names of what it is called with.

    Raises:
        SourceError: There is no such function.
    """
    match = TARGET.fullmatch(target)
    if match is None:
        raise SourceError("must be `module:function`", "Write, for instance, `trees:train` for `train` in trees.py.")
    module, function = match.groups()
    source = _beside(module, function, folder) or _installed(module, function)
    if source is None:
        parts = module.split(".")
        where = Path(*parts).with_suffix(".py")
        rule = f"there is no {where} beside the study, and no package {parts[0]!r} is installed that has it"
        raise SourceError(rule, f"Put {where} into {folder}, or install the package.")
    _require_function(source, arguments)
    return source


def _beside(module: str, function: str, folder: Path) -> Source | None:
    top, *rest = module.split(".")
    package = folder / top
    if not rest and not (package / "__init__.py").is_file():
        alone = package.with_suffix(".py")
        found = {alone.name: alone} if alone.is_file() else {}
    else:
        found = {str(p.relative_to(folder)): p for p in sorted(package.rglob("*.py")) if "__pycache__" not in p.parts}
    name = next((name for name in _names(module) if name in found), None)
    if name is None:
        return None
    if top in sys.stdlib_module_names or top == "clustersweep":
        raise SourceError(f"the module {top} beside the study has the name of another", "Give it a name of its own.")
    try:
        if sum(path.stat().st_size for path in found.values()) > MAX_BYTES:
            rule = f"the Python files of {package} are more than {MAX_BYTES:,} bytes, and travel to every worker"
            raise SourceError(rule, "Install the package on every machine instead, or put the code into one file.")
        files = {name: path.read_bytes() for name, path in found.items()}
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}", "Make it readable.") from None
    return Source(module, function, str((folder / name).absolute()), files, beside=True)


def _installed(module: str, function: str) -> Source | None:
    """Find a module of an installed package. Nothing is imported, the packages above it neither."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names or top == "clustersweep":
        rule = f"{top} is a module of {'clustersweep' if top == 'clustersweep' else 'Python'} itself"
        raise SourceError(rule, "Name a module of your own.")
    path = _file_of(module)
    if path is None:
        return None
    if path.suffix != ".py":
        raise SourceError(f"{path} is no Python source", "Name a function of a module that is.")
    return Source(module, function, str(path), {_names(module)[path.stem == "__init__"]: path.read_bytes()}, False)


def _file_of(module: str) -> Path | None:
    """Return the file of a module of an installed package; None where there is none."""
    top, *rest = module.split(".")
    here = {"", str(Path.cwd())}  # where the command was typed is no installed package
    spec = importlib.machinery.PathFinder.find_spec(top, [entry for entry in sys.path if entry not in here])
    if spec is None:  # packages that are installed to be edited have finders of their own
        known = (importlib.machinery.PathFinder, _Finder)
        others = [f for f in sys.meta_path if f is not known[0] and not isinstance(f, known[1])]
        spec = next((s for f in others if (s := f.find_spec(top, None)) is not None), None)
    if spec is None:
        return None
    if not rest:
        return None if spec.origin is None else Path(spec.origin)
    # By the files, as Python's finders import what is above a module.
    below = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
    candidates = [path for folder in below for path in (folder / "__init__.py", folder.with_name(f"{folder.name}.py"))]
    return next((path for path in candidates if path.is_file()), None)


def _names(module: str) -> tuple[str, str]:
    """Return the two names that a module's file may have, relative to where its packages lie."""
    path = module.replace(".", "/")
    return f"{path}.py", f"{path}/__init__.py"


def _require_function(source: Source, arguments: Sequence[str]) -> None:
    """Make sure by reading, not by importing, that a module has a function that can be called.

    Raises:
        SourceError: It has none.
    """
    content = next(source.files[name] for name in _names(source.module) if name in source.files)
    try:
        tree = ast.parse(content, source.path)
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}:" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise SourceError(f"{source.path} is no Python:{line} {what}", "Correct it.") from None
    names: dict[str, ast.AST] = {}
    for name, node in _defined(tree.body):
        names[name] = node
    signature = f"def {source.function}({', '.join(arguments)})"
    if source.function not in names and not {"*", "__getattr__"} & names.keys():
        known = ", ".join(name for name, node in names.items() if isinstance(node, ast.FunctionDef))
        has = f" (it has {known})" if known else ""
        raise SourceError(f"{source.path} has no function {source.function}{has}", f"Write `{signature}:` there.")
    found = names.get(source.function)
    if isinstance(found, ast.AsyncFunctionDef | ast.ClassDef):
        raise SourceError(f"{source.function} in {source.path} is no plain function", f"Write `{signature}:`.")
    if isinstance(found, ast.FunctionDef) and not _takes(found.args, len(arguments)):
        rule = f"{source.function} in {source.path} line {found.lineno} cannot be called with {' and '.join(arguments)}"
        raise SourceError(rule, f"Write `{signature}:`.")


def _defined(statements: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that statements define at the top of a module, those of branches included."""
    for node in statements:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name, node) for alias in node.names)
            case ast.Assign() | ast.AnnAssign():
                stored = (inner for inner in ast.walk(node) if isinstance(inner, ast.Name))
                yield from ((inner.id, node) for inner in stored if isinstance(inner.ctx, ast.Store))
            case _:
                bodies = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
                for body in bodies:
                    yield from _defined(body)
                for handler in getattr(node, "handlers", []):
                    yield from _defined(handler.body)


def _takes(given: ast.arguments, count: int) -> bool:
    positional = [*given.posonlyargs, *given.args]
    needed = len(positional) - len(given.defaults)
    keywords_needed = sum(default is None for default in given.kw_defaults)
    return needed <= count and (len(positional) >= count or given.vararg is not None) and not keywords_needed


# ------------------------------------------------------------------------------------------ importing, on a worker


def load(source: Source) -> Callable[..., Any]:
    """Import the module, from its bytes where it lies beside the study, and return the function.

    Raises:
        ImportError: It is not there, or is another one, or was imported before under its name.
        Exception: Whatever the module raises.
    """
    if source.beside:
        _offer(source)
    module = importlib.import_module(source.module)
    if not source.beside:
        here = Path(str(module.__file__)).read_bytes()
        if digest_of(dict.fromkeys(source.files, here)) != source.digest:
            raise ImportError(f"{module.__file__} here is another one than {source.path} where the study was launched")
    function = getattr(module, source.function)
    if not callable(function):
        raise ImportError(f"{source.function} is no function")
    return function  # type: ignore[no-any-return]


def _offer(source: Source) -> None:
    """Have Python import the files of a source from memory, those of an earlier one of that name no more."""
    top = source.module.split(".")[0]
    for finder in [one for one in sys.meta_path if isinstance(one, _Finder) and one.top == top]:
        if finder.digest == source.digest:
            return
        sys.meta_path.remove(finder)
        for name in [n for n, m in sys.modules.items() if getattr(m, "__loader__", None) is finder]:
            del sys.modules[name]
    if top in sys.modules:
        raise ImportError(f"a module called {top} is in use here already: give the one beside the study another name")
    sys.meta_path.insert(0, _Finder(source))


class _Finder(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of one source in memory; nothing is written anywhere."""

    def __init__(self, source: Source) -> None:
        self.top, self.digest = source.module.split(".")[0], source.digest
        self._files, self._root = source.files, _root_of(source)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module among the files."""
        if fullname.split(".")[0] != self.top:
            return None
        name = self._name(fullname)
        if name is None and not self._is_folder(fullname):
            return None
        origin = None if name is None else str(self._root / name)
        spec = importlib.util.spec_from_loader(fullname, self, origin=origin, is_package=self.is_package(fullname))
        if spec is not None and origin is not None:
            spec.has_location = True  # gives the module its `__file__`
        return spec

    def is_package(self, fullname: str) -> bool:
        """Say whether a module has others below it."""
        return self._name(fullname) in (None, _names(fullname)[1])

    def get_source(self, fullname: str) -> str:
        """Return a module's text, also for the lines of tracebacks."""
        name = self._name(fullname)
        return "" if name is None else importlib.util.decode_source(self._files[name])

    def get_code(self, fullname: str) -> CodeType:
        """Compile a module."""
        name = self._name(fullname)
        return self.source_to_code(self.get_source(fullname), str(self._root / (name or fullname)))

    def _name(self, fullname: str) -> str | None:
        return next((name for name in _names(fullname) if name in self._files), None)

    def _is_folder(self, fullname: str) -> bool:
        return any(name.startswith(fullname.replace(".", "/") + "/") for name in self._files)


def _root_of(source: Source) -> Path:
    """Return the folder that the names of a source's files start from."""
    path = Path(source.path)
    name = next(name for name in _names(source.module) if name in source.files)
    return path.parents[len(Path(name).parts) - 1]
