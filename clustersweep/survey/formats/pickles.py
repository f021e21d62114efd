"""Reading pickles of arrays without running anything: numbers, text, containers, numpy arrays and nothing else.

Python's own unpickler can import and call whatever a file names. This one has no such step at all: a name in
the file is looked up in the short list of `pickled_arrays`, and any other name, or any other operation,
is refused. It also lets go of an array's raw bytes as soon as the array is built, where Python's keeps them all.
"""

import pickletools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.formats.pickled_arrays import (
    CONSTRUCTORS,
    Dtype,
    Name,
    PendingArray,
    PickleRefusedError,
    array_from_state,
)

Array = NDArray[Any]

_KEPT_BYTES = 4096  # longer byte strings are an array's content, to which nothing refers a second time
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError, MemoryError)


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
    except _DAMAGE as error:
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
        if isinstance(value, _LetGo) or (isinstance(value, PendingArray) and value.value is None):
            raise PickleRefusedError("it refers to an array's content from elsewhere, which numpy never does")
        self.stack.append(value.value if isinstance(value, PendingArray) else value)

    def name(self, argument: str | None) -> None:
        if argument is None:
            name = self.stack.pop()
            module = self.stack.pop()
        else:
            module, name = argument.split(" ", 1)
        if not isinstance(module, str) or not isinstance(name, str) or Name(module, name) not in CONSTRUCTORS:
            raise PickleRefusedError(f"it asks for {module}.{name}, which is neither an array nor a plain value")
        self.stack.append(Name(module, name))

    def reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise PickleRefusedError("it calls what is no constructor of arrays")
        made = CONSTRUCTORS[name](*arguments)
        self.stack.append(self.on_array(made) if isinstance(made, np.ndarray) else made)

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Dtype) and isinstance(state, tuple):
            if any(part is not None for part in state[2:5]) or state[1] not in ("<", ">", "|", "="):
                raise PickleRefusedError("it holds a structured array; only arrays of numbers and text are read")
            target.order = state[1]
        elif isinstance(target, PendingArray) and isinstance(state, tuple):
            target.value = self.on_array(array_from_state(*state))
            self.stack[-1] = target.value
        else:
            raise PickleRefusedError("it sets the state of what is no array")


def _is_long(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | str) and len(value) > _KEPT_BYTES


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
