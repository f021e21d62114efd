"""What a pickle of arrays may name, and what is made of it. None of it imports or calls what the file says.

The machine that reads the operations is in `pickles`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class PickleRefusedError(Exception):
    """The pickle names or does something that an array file has no need of."""


@dataclass(frozen=True)
class Name:
    """A global that the file names. It is never imported: only `CONSTRUCTORS` gives it a meaning."""

    module: str
    name: str


@dataclass
class Dtype:
    """A numpy type: its code, and then its byte order."""

    code: str
    order: str = "="


@dataclass
class PendingArray:
    """An array of which only the state that follows will tell the content."""

    value: Any = None


def array_from_state(version: int, shape: tuple[int, ...], dtype: Dtype, fortran: bool, raw: Any) -> Array:
    """Build an array from the state that `ndarray.__reduce__` gives."""
    order: Literal["C", "F"] = "F" if fortran else "C"
    if isinstance(raw, list):  # an array of objects, which are plain values themselves
        values = np.empty(len(raw), dtype=object)
        values[:] = raw
        return values.reshape(shape, order=order)
    content = raw.encode("latin-1") if isinstance(raw, str) else raw  # text is Python 2's bytes
    return np.frombuffer(content, _dtype(dtype)).reshape(shape, order=order)


def _from_buffer(raw: Any, dtype: Dtype, shape: tuple[int, ...], order: str, axes: Any = None) -> Array:
    """Build an array as protocol 5 describes it."""
    values = np.frombuffer(raw, _dtype(dtype))
    if order == "K" and axes is not None:
        return values.reshape(shape).transpose(axes)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Dtype, raw: Any) -> Any:
    content = raw.encode("latin-1") if isinstance(raw, str) else raw
    return np.frombuffer(content, _dtype(dtype), count=1)[0]


def _dtype(dtype: Dtype) -> np.dtype[Any]:
    found = np.dtype(dtype.code)
    if found.kind not in "biufcSU" or found.itemsize == 0:
        raise PickleRefusedError(f"it holds an array of type {dtype.code}; only numbers and text are read")
    return found if dtype.order == "|" else found.newbyteorder(dtype.order)  # type: ignore[arg-type]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Return the bytes that protocols 0 to 2 write as text."""
    if encoding not in ("latin1", "latin-1"):
        raise PickleRefusedError(f"it encodes text as {encoding}")
    return text.encode("latin-1")


def _no_call(*_: Any) -> Any:
    raise PickleRefusedError("it calls what it may only name")


CONSTRUCTORS: dict[Name, Callable[..., Any]] = {
    Name("numpy", "ndarray"): _no_call,  # named as the type of an array to come
    Name("numpy", "dtype"): lambda code, *_: Dtype(str(code)),
    Name("_codecs", "encode"): _encode,
    Name("collections", "OrderedDict"): lambda: {},
}
for _module in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    CONSTRUCTORS[Name(f"{_module}.multiarray", "_reconstruct")] = lambda *_: PendingArray()
    CONSTRUCTORS[Name(f"{_module}.multiarray", "scalar")] = _scalar
    CONSTRUCTORS[Name(f"{_module}.numeric", "_frombuffer")] = _from_buffer
for _module in ("builtins", "__builtin__"):  # Python 3 and Python 2
    CONSTRUCTORS[Name(_module, "bytes")] = lambda: b""
    CONSTRUCTORS[Name(_module, "bytearray")] = lambda content=b"": bytes(content)
    CONSTRUCTORS[Name(_module, "set")] = lambda items=(): set(items)
    CONSTRUCTORS[Name(_module, "frozenset")] = lambda items=(): frozenset(items)
    CONSTRUCTORS[Name(_module, "complex")] = lambda real, imaginary: complex(real, imaginary)
