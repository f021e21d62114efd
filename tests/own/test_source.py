"""The code that a study names: found beside it or installed, not imported for that, and imported from its bytes."""

import os
import pickle
import subprocess
import sys
import textwrap

import pytest

from clustersweep.own.source import MAX_BYTES, SourceError, find, load

TRAIN = "def train(run):\n    return 1\n"


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def found(folder, target="own_nets:train", arguments=("run",)):
    return find(target, folder, arguments)


def refusal(folder, target="own_nets:train", arguments=("run",)):
    with pytest.raises(SourceError) as refused:
        find(target, folder, arguments)
    return str(refused.value)


@pytest.fixture
def modules():
    """Forget what a test has imported."""
    before, finders = set(sys.modules), list(sys.meta_path)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.meta_path[:] = finders


# ------------------------------------------------------------------------------------------ found, and not imported


def test_a_function_of_a_file_beside_the_study_is_found_and_nothing_is_run(tmp_path):
    put(tmp_path, "own_nets.py", "raise RuntimeError('imported')\n" + TRAIN)
    source = found(tmp_path)
    assert (source.module, source.function, source.beside) == ("own_nets", "train", True)
    assert source.path == str(tmp_path / "own_nets.py")
    assert source.words == f"train of {tmp_path / 'own_nets.py'}"
    assert list(source.files) == ["own_nets.py"]


def test_a_package_beside_the_study_brings_its_python_files(tmp_path):
    put(tmp_path, "own_lab/nets.py", TRAIN)
    put(tmp_path, "own_lab/parts/layers.py", "x = 1\n")
    put(tmp_path, "own_lab/data.csv", "1,2\n")
    put(tmp_path, "own_lab/__pycache__/nets.py", "x = 1\n")
    put(tmp_path, "other.py", "x = 1\n")
    source = found(tmp_path, "own_lab.nets:train")
    assert sorted(source.files) == ["own_lab/nets.py", "own_lab/parts/layers.py"]
    assert source.words == f"train of {tmp_path / 'own_lab/nets.py'} and 1 other file of its package"


def test_a_function_of_an_installed_package_is_found_without_importing_it(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom clustersweep.own.source import find\n"
        f"source = find('playwright.sync_api:sync_playwright', Path({str(tmp_path)!r}), ())\n"
        "print(source.beside, source.path.endswith('playwright/sync_api/__init__.py'), 'playwright' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False True False\n"


def test_where_the_command_is_typed_is_no_place_for_code(tmp_path, monkeypatch):
    """A module of that folder would be imported by its name alone: anybody may have put it there."""
    put(tmp_path / "here", "own_nets.py", TRAIN)
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend("")
    assert "there is no own_nets.py beside the study" in refusal(tmp_path / "study")


def test_the_digest_is_that_of_all_files_and_their_names(tmp_path):
    path = put(tmp_path, "own_nets.py", TRAIN)
    first = found(tmp_path).digest
    assert found(tmp_path).digest == first
    path.write_text(TRAIN + "# more\n")
    assert found(tmp_path).digest != first
    put(tmp_path, "own_lab/nets.py", TRAIN)
    helper = put(tmp_path, "own_lab/helper.py", "x = 1\n")
    before = found(tmp_path, "own_lab.nets:train").digest
    helper.write_text("x = 2\n")
    assert found(tmp_path, "own_lab.nets:train").digest != before


# ------------------------------------------------------------------------------------------ what is refused


def test_a_module_that_is_nowhere_is_told_with_where_to_put_it(tmp_path):
    words = refusal(tmp_path, "own_nowhere:train")
    assert words == (
        "there is no own_nowhere.py beside the study, and no package 'own_nowhere' is installed that has it. "
        f"Put own_nowhere.py into {tmp_path}, or install the package."
    )


def test_a_function_that_is_not_there_is_told_with_those_that_are(tmp_path):
    put(tmp_path, "own_nets.py", "def fit(run):\n    pass\n\ndef test(run):\n    pass\n")
    path = tmp_path / "own_nets.py"
    assert refusal(tmp_path) == f"{path} has no function train (it has fit, test). Write `def train(run):` there."


@pytest.mark.parametrize(
    "text",
    [
        "if True:\n    def train(run):\n        pass\n",
        "try:\n    import fast\nexcept ImportError:\n    def train(run):\n        pass\n",
        "from json import loads as train\n",
        "train = print\n",
        "from json import *\n",
        "def train(run, *, quick=False):\n    pass\n",
        "def train(*given):\n    pass\n",
        "predict, train = None, print\n",
    ],
)
def test_a_function_may_be_defined_in_any_way_at_the_top_of_its_module(tmp_path, text):
    put(tmp_path, "own_nets.py", text)
    assert found(tmp_path).function == "train"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def train():\n    pass\n", "line 1 cannot be called with run. Write `def train(run):`."),
        ("def train(run, data):\n    pass\n", "line 1 cannot be called with run"),
        ("def train(run, *, data):\n    pass\n", "line 1 cannot be called with run"),
        ("async def train(run):\n    pass\n", "is no plain function"),
        ("class train:\n    pass\n", "is no plain function"),
        ("def train(run:\n", "is no Python: line 1:"),
        ("def outer():\n    def train(run):\n        pass\n", "has no function train (it has outer)"),
    ],
)
def test_what_cannot_be_called_is_told_before_anything_runs(tmp_path, text, words):
    put(tmp_path, "own_nets.py", text)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(
    "target", ["own_nets", "own_nets:", ":train", "own_nets.train()", "../own_nets:train", "a b:c"]
)
def test_a_target_has_a_module_and_a_function(tmp_path, target):
    assert refusal(tmp_path, target).startswith("must be `module:function`")


@pytest.mark.parametrize("target", ["os:system", "subprocess:run", "clustersweep.cli.main:main"])
def test_pythons_modules_and_clustersweeps_are_nobodys_own(tmp_path, target):
    assert "itself. Name a module of your own." in refusal(tmp_path, target)


def test_a_module_below_one_that_is_no_package_is_not_looked_for_elsewhere(tmp_path, monkeypatch):
    put(tmp_path, "site/own_installed.py", TRAIN)
    put(tmp_path, "site/own_other.py", TRAIN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert "no package 'own_installed' is installed that has it" in refusal(tmp_path, "own_installed.own_other:train")


def test_an_installed_package_may_have_folders_without_an_init_file(tmp_path, monkeypatch):
    put(tmp_path, "site/own_space/parts/nets.py", TRAIN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert found(tmp_path, "own_space.parts.nets:train").path == str(tmp_path / "site/own_space/parts/nets.py")


def test_a_file_with_the_name_of_a_module_of_pythons_is_refused(tmp_path):
    put(tmp_path, "random.py", TRAIN)
    assert "has the name of another. Give it a name of its own." in refusal(tmp_path, "random:train")


def test_a_package_that_is_too_large_to_travel_is_told(tmp_path):
    put(tmp_path, "own_lab/nets.py", TRAIN)
    put(tmp_path, "own_lab/table.py", "#" * (MAX_BYTES + 1))
    assert "more than 5,000,000 bytes, and travel to every worker" in refusal(tmp_path, "own_lab.nets:train")


# ------------------------------------------------------------------------------------------ imported from its bytes


def test_a_module_is_imported_from_its_bytes_where_its_file_is_not(tmp_path, modules):
    path = put(tmp_path, "own_nets.py", "import math\ndef train(run):\n    return run + math.floor(1.5), __file__\n")
    source = pickle.loads(pickle.dumps(found(tmp_path)))
    path.unlink()
    assert load(source)(1) == (2, str(path))


def test_a_package_is_imported_from_its_bytes_with_relative_and_absolute_imports(tmp_path, modules):
    put(tmp_path, "own_lab/nets.py", "from . import helper\nfrom own_lab.parts.layers import two\n"
        "def train(run):\n    return helper.one + two\n")  # fmt: skip
    put(tmp_path, "own_lab/helper.py", "one = 1\n")
    put(tmp_path, "own_lab/parts/layers.py", "two = 2\n")
    source = found(tmp_path, "own_lab.nets:train")
    for path in sorted(tmp_path.rglob("*.py")):
        path.unlink()
    assert load(source)(None) == 3


def test_a_file_that_changed_is_imported_anew_in_the_same_process(tmp_path, modules):
    path = put(tmp_path, "own_nets.py", "def train(run):\n    return 1\n")
    first = found(tmp_path)
    path.write_text("def train(run):\n    return 2\n")
    second = found(tmp_path)
    assert [load(source)(None) for source in (first, second, second, first)] == [1, 2, 2, 1]


def test_a_module_is_imported_once_however_often_it_is_asked_for(tmp_path, modules):
    put(tmp_path, "own_nets.py", "count = []\ncount.append(1)\ndef train(run):\n    return count\n")
    assert load(found(tmp_path))(None) is load(found(tmp_path))(None)


def test_a_file_beside_a_study_that_is_not_the_modules_does_not_travel(tmp_path, modules):
    put(tmp_path, "own_nets.py", "import own_helper\n" + TRAIN)
    put(tmp_path, "own_helper.py", "x = 1\n")
    with pytest.raises(ModuleNotFoundError, match="own_helper"):
        load(found(tmp_path))


def test_a_module_of_its_name_that_is_in_use_is_not_replaced(tmp_path, modules):
    put(tmp_path, "pytest.py", TRAIN)
    with pytest.raises(ImportError, match="a module called pytest is in use here already: give the one beside"):
        load(found(tmp_path, "pytest:train"))


def test_an_installed_package_that_is_another_one_here_is_not_used(tmp_path, modules, monkeypatch):
    path = put(tmp_path, "site/own_installed.py", "def train(run):\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    source = found(tmp_path, "own_installed:train")
    assert not source.beside
    assert load(source)(None) == 1
    path.write_text("def train(run):\n    return 2\n")
    os.utime(path, (1, 1))
    with pytest.raises(ImportError, match="is another one than .* where the study was launched"):
        load(source)


def test_a_traceback_shows_the_lines_of_a_module_that_was_imported_from_bytes(tmp_path, modules):
    path = put(tmp_path, "own_nets.py", "def train(run):\n    raise ValueError('no')  # this line\n")
    source = found(tmp_path)
    path.unlink()
    script = (
        "import pickle, sys, traceback\nfrom clustersweep.own.source import load\n"
        "try: load(pickle.loads(bytes.fromhex(sys.argv[1])))(None)\n"
        "except ValueError: print(traceback.format_exc())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, pickle.dumps(source).hex()], capture_output=True, text=True, check=True
    )
    assert "# this line" in done.stdout
