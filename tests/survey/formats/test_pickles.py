"""Pickles: what numpy wrote is read, anything else is refused, and nothing is ever run."""

import collections
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clustersweep.errors import DataError
from clustersweep.survey.formats import pickles
from clustersweep.survey.formats.lab import read_pickle


def written(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_every_protocol_writes_of_arrays_and_plain_values_is_read(tmp_path: Path, protocol: int) -> None:
    content = {
        "cluster": [np.int64(7), np.float32(0.5), 3, 2**70, -1.5, True, None, "é", b"\x00\xff", np.str_("name")],
        "arrays": [
            np.arange(24.0).reshape(2, 3, 4),
            np.arange(6, dtype=">i2"),
            np.array(["a", "bcd"]),
            np.empty((0, 2)),
        ],
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "bytes": np.array([b"x", b"yz"]),
        "objects": np.array(["text", 1, None], dtype=object),
        "containers": ((), (1,), (1, 2, 3, 4), {1, 2}, frozenset({3}), [[]], {"k": (1.0,)}, 1 + 2j, bytearray(b"ab")),
        "ordered": collections.OrderedDict(a=1),
    }
    read = pickles.load(written(tmp_path / "p", content, protocol))
    assert read["cluster"] == content["cluster"]
    for name in ("fortran", "bytes", "objects"):
        assert np.array_equal(read[name], content[name])
        assert read[name].dtype == content[name].dtype
    for got, expected in zip(read["arrays"], content["arrays"], strict=True):
        assert np.array_equal(got, expected)
        assert got.dtype == expected.dtype
    assert read["containers"] == content["containers"]
    assert read["ordered"] == {"a": 1}


def test_what_numpy_1_wrote_is_read(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    data = pickle.dumps({"a": array, "b": array}, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in data
    (tmp_path / "p").write_bytes(data)
    read = pickles.load(tmp_path / "p")
    assert np.array_equal(read["a"], array)
    assert read["a"] is read["b"]  # one array twice is still one


def test_arrays_can_be_replaced_as_they_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "p", [np.ones((2, 2)), [np.zeros(3)], np.ones((2, 2))])
    assert pickles.load(path, lambda array: array.shape) == [(2, 2), [(3,)], (2, 2)]


class Evil:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("evil", "named"),
    [
        (lambda marker: Evil(os.system, f"touch {marker}"), "posix.system"),
        (lambda marker: Evil(eval, f"open({str(marker)!r}, 'w')"), "eval"),
        (lambda marker: Evil(subprocess.Popen, ["touch", str(marker)]), "Popen"),
        (lambda marker: Path(marker), "pathlib"),
    ],
)
def test_a_pickle_that_would_run_code_is_refused_and_nothing_ran(
    tmp_path: Path, evil: Any, named: str, protocol: int
) -> None:
    marker = tmp_path / "ran"
    content = {"cluster": [1], "gsm_3dImgs": [np.ones((2, 2, 1)), evil(marker)]}
    path = written(tmp_path / "evil.pickle", content, protocol)
    with pytest.raises(DataError, match=r"is refused: it asks for .*Nothing in it was run") as info:
        read_pickle(path)
    assert named in str(info.value)
    assert not marker.exists()
    assert info.value.exit_code == 2


def test_the_malicious_pickle_of_this_test_does_run_in_pythons_own_unpickler(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(Evil(os.system, f"touch {marker}")))  # so that the tests above can fail
    assert marker.exists()


def test_not_even_an_import_happens(tmp_path: Path) -> None:
    (tmp_path / "evil_module.py").write_text("open('imported', 'w')\nclass Thing: pass\n")
    (tmp_path / "p").write_bytes(b"\x80\x02cevil_module\nThing\n.")
    program = """
        from pathlib import Path
        from clustersweep.errors import DataError
        from clustersweep.survey.formats import pickles
        try:
            pickles.load(Path("p"))
        except DataError as error:
            raise SystemExit(str(error))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "asks for evil_module.Thing" in done.stderr
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x80\x02cnumpy\nndarray\n)R.", "it calls what it may only name"),
        (b"\x80\x02K\x01)R.", "it calls what is no constructor"),
        (b"\x80\x02(i__builtin__\neval\n.", "it uses the operation INST"),
        (b"\x80\x02(cnumpy\nndarray\no.", "it uses the operation OBJ"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "it uses the operation NEWOBJ"),
        (b"\x80\x02Pid\n.", "it uses the operation PERSID"),
        (b"\x80\x02\x82\x01.", "it uses the operation EXT1"),
        (b"\x80\x02}}b.", "it sets the state of what is no array"),
        (b"\x80\x02cnumpy\nndarray\n}b.", "it sets the state of what is no array"),
        (b"\x80\x02cnumpy\ndtype\nU\x02O8\x85RK\x01cnumpy.core.multiarray\nscalar\n.", None),
    ],
)
def test_every_other_way_to_call_something_is_refused(tmp_path: Path, data: bytes, what: str | None) -> None:
    (tmp_path / "p").write_bytes(data)
    if what is None:  # names alone are harmless
        pickles.load(tmp_path / "p")
        return
    with pytest.raises(DataError, match=what):
        pickles.load(tmp_path / "p")


def test_structured_arrays_and_forged_types_are_refused(tmp_path: Path) -> None:
    structured = np.zeros(3, dtype=[("a", "f8"), ("b", "O")])
    with pytest.raises(DataError, match="it holds a structured array; only arrays of numbers and text are read"):
        pickles.load(written(tmp_path / "p", structured))
    with pytest.raises(DataError, match="it holds an array of type M8; only numbers and text are read"):
        pickles.load(written(tmp_path / "q", np.array(["2020-01-01"], dtype="M8[D]")))
    # Object type with raw bytes as content: numpy would take the bytes for addresses of objects.
    forged = pickle.dumps(np.zeros(1), 2).replace(b"f8", b"O8")
    (tmp_path / "r").write_bytes(forged)
    with pytest.raises(DataError, match="it holds an array of type O8"):
        pickles.load(tmp_path / "r")


def test_a_truncated_pickle_is_damaged_wherever_it_is_cut(tmp_path: Path) -> None:
    data = pickle.dumps({"cluster": [1, 2], "gsm_3dImgs": [np.ones((3, 3, 2))] * 2}, 4)
    path = tmp_path / "p"
    for length in range(1, len(data) - 1, 7):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match="is damaged or truncated"):
            pickles.load(path)


def test_random_bytes_never_raise_anything_but_a_data_error(tmp_path: Path) -> None:
    good = pickle.dumps({"a": [np.arange(6.0), "text", (1, {2})]}, 2)
    rng = np.random.default_rng(3)
    path = tmp_path / "p"
    for _ in range(1500):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            pickles.load(path)
        except DataError:
            continue


def test_a_shape_that_promises_more_than_the_content_is_damaged(tmp_path: Path) -> None:
    data = pickle.dumps(np.zeros((3, 3, 3)), 2).replace(b"K\x03K\x03K\x03", b"J\xff\xff\xff\x7fK\x03K\x03")
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(DataError, match="is damaged or truncated"):
        pickles.load(tmp_path / "p")
