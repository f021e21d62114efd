"""What a pickle of arrays may name becomes arrays and plain values, and every other name is unknown."""

import numpy as np
import pytest

from clustersweep.survey.formats.pickled_arrays import (
    CONSTRUCTORS,
    Dtype,
    Name,
    PendingArray,
    PickleRefusedError,
    array_from_state,
)


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize(("code", "order"), [("f8", "<"), ("i2", ">"), ("U3", "<"), ("S2", "|")])
def test_the_state_of_an_array_gives_it_back_in_any_order_of_axes_and_bytes(code, order, fortran):
    array = np.array(range(6)).astype(code).reshape(2, 3)
    stored = array if order == "|" else array.astype(array.dtype.newbyteorder(order))
    raw = stored.tobytes("F" if fortran else "C")
    for content in (raw, raw.decode("latin-1")):  # text is what Python 2 wrote
        found = array_from_state(1, (2, 3), Dtype(code, order), fortran, content)
        assert np.array_equal(found, array)
        assert found.dtype == stored.dtype


def test_an_array_of_plain_values_keeps_them_as_they_are():
    values = ["text", 1, None, 2.5]
    found = array_from_state(1, (2, 2), Dtype("O8", "|"), False, values)
    assert found.dtype == object
    assert found.ravel().tolist() == values


@pytest.mark.parametrize("code", ["O8", "M8[D]", "V8", "S0"])
def test_bytes_that_are_no_numbers_and_no_text_become_no_array(code):
    with pytest.raises(PickleRefusedError, match="only numbers and text are read"):
        array_from_state(1, (1,), Dtype(code, "|"), False, b"\0" * 8)


def test_both_versions_of_numpy_and_of_python_name_the_same_constructors():
    for core in ("numpy.core", "numpy._core"):
        assert CONSTRUCTORS[Name(f"{core}.multiarray", "scalar")](Dtype("f4", ">"), b"\x3f\x80\0\0") == 1.0
        assert isinstance(CONSTRUCTORS[Name(f"{core}.multiarray", "_reconstruct")](), PendingArray)
        buffer = CONSTRUCTORS[Name(f"{core}.numeric", "_frombuffer")]
        assert buffer(b"\1\2\3\4", Dtype("u1", "|"), (2, 2), "F").tolist() == [[1, 3], [2, 4]]
        assert buffer(b"\1\2\3\4\5\6", Dtype("u1", "|"), (3, 2), "K", (1, 0)).tolist() == [[1, 3, 5], [2, 4, 6]]
    for builtins in ("builtins", "__builtin__"):
        assert CONSTRUCTORS[Name(builtins, "set")]([1, 2, 2]) == {1, 2}
        assert CONSTRUCTORS[Name(builtins, "complex")](1.0, 2.0) == 1 + 2j
    assert CONSTRUCTORS[Name("_codecs", "encode")]("é", "latin1") == b"\xe9"


def test_what_is_only_named_is_not_called_and_text_has_one_encoding():
    with pytest.raises(PickleRefusedError, match="may only name"):
        CONSTRUCTORS[Name("numpy", "ndarray")]((3,))
    with pytest.raises(PickleRefusedError, match="encodes text as utf-7"):
        CONSTRUCTORS[Name("_codecs", "encode")]("a", "utf-7")
    assert {name.module for name in CONSTRUCTORS}.isdisjoint({"os", "posix", "subprocess", "importlib"})
    assert {"eval", "exec", "getattr", "__import__"}.isdisjoint(name.name for name in CONSTRUCTORS)
