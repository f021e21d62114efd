"""Reading pickles of arrays without running anything: numbers, text, containers, numpy arrays and nothing else.

Python's own unpickler can import and call whatever a file names. This one has no such step at all: a name in
the file is looked up in a short list of constructors written below, and any other name, or any other operation,
is refused. It also lets go of an array's raw bytes as soon as the array is built, where Python's keeps them all.
"""

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem

Array = NDArray[Any]

_KEPT_BYTES = 4096  # longer byte strings are an array's content, to which nothing refers a second time


class PickleRefusedError(Exception):
    """The pickle names or does something that an array file has no need of."""


@dataclass(frozen=True)
class _Name:
    """A global that the file names. It is never imported: only `_CONSTRUCTORS` gives it a meaning."""

    module: str
    name: str


@dataclass
class _Dtype:
    """A numpy type: its code, and then its byte order."""

    code: str
    order: str = "="


@dataclass
class _Array:
    """An array of which only the state that follows will tell the content."""

    value: Any = None


class _LetGo:
    """Stands in the memo for a long byte string."""


def load(path: Path, on_array: Callable[[Array], Any] | None = None) -> Any:
    """Read a pickle of plain values and numpy arrays.

    Args:
        path: The file.
        on_array: Called with each array as soon as it is read; what it returns takes the array's place.

    Raises:
        DataError: The file is damaged, or asks for anything else; nothing that it names has been run.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # an odd escape in damaged text
            return _Machine(on_array or (lambda array: array)).run(file)
    except PickleRefusedError as error:
        rule = f"is refused: {error}. Nothing in it was run"
        remedy = "Save the arrays again as a plain dict of lists, and do not load this file any other way."
        raise DataError([Problem(str(path), "", "", rule, remedy)]) from error
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        EOFError,
        ArithmeticError,
        MemoryError,
    ) as error:
        rule = f"is damaged or truncated, or no pickle of arrays ({error or type(error).__name__})"
        raise DataError([Problem(str(path), "", "", rule, "Copy the file again from where it came.")]) from error


class _Machine:
    """Executes the operations that build plain values; its table `_STEPS` has no others."""

    def __init__(self, on_array: Callable[[Array], Any]) -> None:
        self.on_array = on_array
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self, file: IO[bytes]) -> Any:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name not in _STEPS:
                raise PickleRefusedError(f"it uses the operation {opcode.name}, which arrays do not need")
            _STEPS[opcode.name](self, argument)
        raise ValueError("it has no end")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def remember(self, key: int | None) -> None:
        value = self.stack[-1]
        if _is_long(value) or (isinstance(value, tuple) and any(map(_is_long, value))):
            value = _LetGo()  # else the memo would keep the content of every array
        self.memo[len(self.memo) if key is None else key] = value

    def recall(self, key: int) -> None:
        value = self.memo[key]
        if isinstance(value, _LetGo) or (isinstance(value, _Array) and value.value is None):
            raise PickleRefusedError("it refers to an array's content from elsewhere, which numpy never does")
        self.stack.append(value.value if isinstance(value, _Array) else value)

    def name(self, argument: str | None) -> None:
        if argument is None:
            name = self.stack.pop()
            module = self.stack.pop()
        else:
            module, name = argument.split(" ", 1)
        if not isinstance(module, str) or not isinstance(name, str) or _Name(module, name) not in _CONSTRUCTORS:
            raise PickleRefusedError(f"it asks for {module}.{name}, which is neither an array nor a plain value")
        self.stack.append(_Name(module, name))

    def reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise PickleRefusedError("it calls what is no constructor of arrays")
        made = _CONSTRUCTORS[name](*arguments)
        self.stack.append(self.on_array(made) if isinstance(made, np.ndarray) else made)

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype) and isinstance(state, tuple):
            if any(part is not None for part in state[2:5]) or state[1] not in ("<", ">", "|", "="):
                raise PickleRefusedError("it holds a structured array; only arrays of numbers and text are read")
            target.order = state[1]
        elif isinstance(target, _Array) and isinstance(state, tuple):
            target.value = self.on_array(_array(*state))
            self.stack[-1] = target.value
        else:
            raise PickleRefusedError("it sets the state of what is no array")


def _is_long(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | str) and len(value) > _KEPT_BYTES


def _array(version: int, shape: tuple[int, ...], dtype: _Dtype, fortran: bool, raw: Any) -> Array:
    """Build an array from the state that `ndarray.__reduce__` gives."""
    order: Literal["C", "F"] = "F" if fortran else "C"
    if isinstance(raw, list):  # an array of objects, which are plain values themselves
        values = np.empty(len(raw), dtype=object)
        values[:] = raw
        return values.reshape(shape, order=order)
    content = raw.encode("latin-1") if isinstance(raw, str) else raw  # text is Python 2's bytes
    return np.frombuffer(content, _dtype(dtype)).reshape(shape, order=order)


def _from_buffer(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: str, axes: Any = None) -> Array:
    """Build an array as protocol 5 describes it."""
    values = np.frombuffer(raw, _dtype(dtype))
    if order == "K" and axes is not None:
        return values.reshape(shape).transpose(axes)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: _Dtype, raw: Any) -> Any:
    content = raw.encode("latin-1") if isinstance(raw, str) else raw
    return np.frombuffer(content, _dtype(dtype), count=1)[0]


def _dtype(dtype: _Dtype) -> np.dtype[Any]:
    found = np.dtype(dtype.code)
    if found.kind not in "biufcSU" or found.itemsize == 0:
        raise PickleRefusedError(f"it holds an array of type {dtype.code}; only numbers and text are read")
    return found if dtype.order == "|" else found.newbyteorder(dtype.order)  # type: ignore[arg-type]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Give the bytes that protocols 0 to 2 write as text."""
    if encoding not in ("latin1", "latin-1"):
        raise PickleRefusedError(f"it encodes text as {encoding}")
    return text.encode("latin-1")


def _no_call(*_: Any) -> Any:
    raise PickleRefusedError("it calls what it may only name")


_CONSTRUCTORS: dict[_Name, Callable[..., Any]] = {
    _Name("numpy", "ndarray"): _no_call,  # named as the type of an array to come
    _Name("numpy", "dtype"): lambda code, *_: _Dtype(str(code)),
    _Name("_codecs", "encode"): _encode,
    _Name("collections", "OrderedDict"): lambda: {},
}
for _module in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    _CONSTRUCTORS[_Name(f"{_module}.multiarray", "_reconstruct")] = lambda *_: _Array()
    _CONSTRUCTORS[_Name(f"{_module}.multiarray", "scalar")] = _scalar
    _CONSTRUCTORS[_Name(f"{_module}.numeric", "_frombuffer")] = _from_buffer
for _module in ("builtins", "__builtin__"):  # Python 3 and Python 2
    _CONSTRUCTORS[_Name(_module, "bytes")] = lambda: b""
    _CONSTRUCTORS[_Name(_module, "bytearray")] = lambda content=b"": bytes(content)
    _CONSTRUCTORS[_Name(_module, "set")] = lambda items=(): set(items)
    _CONSTRUCTORS[_Name(_module, "frozenset")] = lambda items=(): frozenset(items)
    _CONSTRUCTORS[_Name(_module, "complex")] = lambda real, imaginary: complex(real, imaginary)

_Step = Callable[[_Machine, Any], None]


def _pusher(make: Callable[[], Any]) -> _Step:
    return lambda machine, _: machine.push(make())


def _push_argument(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _tuple_of(count: int) -> _Step:
    def step(machine: _Machine, _: Any) -> None:
        items = tuple(machine.stack[-count:])
        if len(items) < count:
            raise IndexError("it takes more than there is")
        del machine.stack[-count:]
        machine.stack.append(items)

    return step


def _extend(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, set):
        target.update(items)
    elif isinstance(target, list):
        target.extend(items)
    else:
        raise PickleRefusedError("it appends to what is no list")


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict):
        raise PickleRefusedError("it sets items of what is no dict")
    target.update(_dict(items))


def _dict(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


_STEPS: dict[str, _Step] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: (machine.since_mark(), None)[1],
    "NONE": _pusher(lambda: None),
    "NEWTRUE": _pusher(lambda: True),
    "NEWFALSE": _pusher(lambda: False),
    "EMPTY_LIST": _pusher(list),
    "EMPTY_DICT": _pusher(dict),
    "EMPTY_SET": _pusher(set),
    "EMPTY_TUPLE": _pusher(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "DICT": lambda machine, _: machine.push(_dict(machine.since_mark())),
    "FROZENSET": lambda machine, _: machine.push(frozenset(machine.since_mark())),
    "APPEND": lambda machine, _: _extend(machine, [machine.stack.pop()]),
    "APPENDS": lambda machine, _: _extend(machine, machine.since_mark()),
    "ADDITEMS": lambda machine, _: _extend(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _set_items(machine, [machine.stack.pop(), machine.stack.pop()][::-1]),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "GLOBAL": lambda machine, argument: machine.name(argument),
    "STACK_GLOBAL": lambda machine, _: machine.name(None),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "MEMOIZE": lambda machine, _: machine.remember(None),
}
for _put in ("PUT", "BINPUT", "LONG_BINPUT"):
    _STEPS[_put] = lambda machine, key: machine.remember(key)
for _get in ("GET", "BINGET", "LONG_BINGET"):
    _STEPS[_get] = lambda machine, key: machine.recall(key)
for _plain in (
    "INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
):  # fmt: skip
    _STEPS[_plain] = _push_argument
