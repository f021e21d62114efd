"""Writing a survey: the same whatever the processes, whole or not at all, and continued after an interruption."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.io import fits
from astropy.table import Table
from children import Children

from clustersweep.errors import DataError
from clustersweep.survey.simulator import observation
from clustersweep.survey.simulator.simulate import simulate_chunk, write_survey
from clustersweep.survey.source import open_dataset, read_header
from clustersweep.survey.spec import DataSpec, SimulateSpec

SMALL = SimulateSpec(clusters=12, seed=3, pixels=20)
SEVERAL_PARTS = SimulateSpec(clusters=300, seed=3, pixels=10)
Run = Callable[..., "subprocess.Popen[str]"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed") / "survey"
    write_survey(SEVERAL_PARTS, folder)
    return content(folder)


def test_a_cluster_is_the_same_whatever_the_chunk_it_is_in() -> None:
    whole, columns = simulate_chunk(SMALL, 0, 12)
    for start, stop in ((0, 1), (5, 9), (11, 12)):
        images, rows = simulate_chunk(SMALL, start, stop)
        assert np.array_equal(images, whole[start:stop])
        for name, column in columns.items():
            assert np.array_equal(rows[name], column[start:stop])


def test_a_cluster_is_the_same_in_a_larger_survey_and_another_with_another_seed() -> None:
    one = observation.observe(3, 7, 20)
    assert np.array_equal(one.image, simulate_chunk(SMALL, 7, 8)[0][0])
    other = observation.observe(4, 7, 20)
    assert one.row["M500c"] != other.row["M500c"]
    assert one.row["M500c"] != observation.observe(3, 8, 20).row["M500c"]


def test_a_survey_has_images_catalogue_and_a_header_that_says_what_it_is(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_survey(SMALL, tmp_path / "survey", progress=lambda done, total: seen.append((done, total)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["survey"]  # no trace of the work
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)
    header = fits.getheader(tmp_path / "survey" / "images.fits")
    assert (header["RECIPE"], header["SIMSEED"], header["NAXIS"]) == (SMALL.digest, 3, 4)
    assert (header["E_MIN10"], header["E_MAX10"]) == (2.095, 2.3)
    table = Table.read(tmp_path / "survey" / "catalogue.fits")
    columns = fits.getheader(tmp_path / "survey" / "catalogue.fits", 1)
    for name in (
        "M500c",
        "z",
        "kT",
        "Lx_soft",
        "Fx_soft",
        "R500c_kpc",
        "net_counts",
        "axis_ratio",
        "core_r500",
        "exposure",
    ):
        number = table.colnames.index(name) + 1
        assert columns[f"TCOMM{number}"]
    assert str(table["kT"].unit) == "keV"
    assert str(table["Lx_soft"].unit) == "erg / s"
    assert table["Lx_soft"].dtype.itemsize == 8  # 1e43 erg/s overflows 32 bits


def test_opening_simulates_once_and_agrees_with_the_header(tmp_path: Path) -> None:
    spec = DataSpec(simulate=SMALL, rebin=4)
    header = read_header(spec)
    assert not list(tmp_path.iterdir())
    dataset = open_dataset(spec, tmp_path / "surveys")
    assert (header.clusters, header.image_shape, header.digest) == (12, dataset.image_shape, dataset.digest)
    assert header.image_shape == (5, 5, 10)
    assert "12 clusters, seed 3" in header.source
    written = (tmp_path / "surveys" / SMALL.digest / "images.fits").stat().st_mtime_ns
    again = open_dataset(spec, tmp_path / "surveys")
    assert np.array_equal(again.images, dataset.images)
    assert (tmp_path / "surveys" / SMALL.digest / "images.fits").stat().st_mtime_ns == written


def test_a_damaged_survey_in_the_cache_says_what_to_remove(tmp_path: Path) -> None:
    spec = DataSpec(simulate=SMALL)
    open_dataset(spec, tmp_path)
    images = tmp_path / SMALL.digest / "images.fits"
    images.write_bytes(images.read_bytes()[:20_000])
    with pytest.raises(DataError, match="is truncated") as info:
        open_dataset(spec, tmp_path)
    assert f"Remove {images.parent}, and it will be simulated again" in str(info.value)


def test_an_interrupted_simulation_continues_and_never_mixes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    class StopError(Exception):
        pass

    def stop_after_the_first_part(done: int, total: int) -> None:
        if done:
            raise StopError

    to = tmp_path / "survey"
    with pytest.raises(StopError):
        write_survey(SEVERAL_PARTS, to, progress=stop_after_the_first_part)
    assert not to.exists()
    staging = tmp_path / f".survey.partial-{SEVERAL_PARTS.digest}"
    first = staging / "part-00000000.npz"
    stamp = first.stat().st_mtime_ns

    other = SimulateSpec(clusters=300, seed=99, pixels=10)  # another recipe under the same name
    with pytest.raises(StopError):
        write_survey(other, to, progress=stop_after_the_first_part)
    assert first.stat().st_mtime_ns == stamp

    seen: list[int] = []
    write_survey(SEVERAL_PARTS, to, progress=lambda done, total: seen.append(done))
    assert seen[0] == 128  # the first part was not simulated again
    assert content(to) == undisturbed
    assert not staging.exists()


def test_a_damaged_part_of_an_interrupted_simulation_is_simulated_again(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    staging = tmp_path / f".survey.partial-{SEVERAL_PARTS.digest}"
    staging.mkdir()
    (staging / "part-00000128.npz").write_bytes(b"PK\x03\x04 half of it")
    write_survey(SEVERAL_PARTS, tmp_path / "survey")
    assert content(tmp_path / "survey") == undisturbed


def test_what_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    to = tmp_path / "survey"
    to.mkdir()
    write_survey(SMALL, to)  # an empty folder is as good as none
    before = content(to)
    write_survey(SMALL, to)  # and the same survey is done already
    assert content(to) == before
    with pytest.raises(
        DataError, match=r"survey: is there already and is not the survey that was asked for. Remove it"
    ):
        write_survey(SEVERAL_PARTS, to)
    assert content(to) == before
    (tmp_path / "file").write_text("precious")
    with pytest.raises(DataError, match="is there already"):
        write_survey(SMALL, tmp_path / "file")


@pytest.fixture
def run(children: Children) -> Run:
    def started(program: str, *arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
        return children(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return started


@pytest.mark.integration
def test_a_full_disk_leaves_nothing_under_the_final_name(run: Run, tmp_path: Path) -> None:
    # No file may grow beyond a limit: first the parts fit and the cube of all of them does not, then no part does.
    program = """
        import resource, sys
        from pathlib import Path
        from clustersweep.errors import DataError
        from clustersweep.survey.simulator.simulate import write_survey
        from clustersweep.survey.spec import SimulateSpec
        to = Path(sys.argv[1])
        for clusters, limit in ((150, 1_100_000), (151, 100_000)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                write_survey(SimulateSpec(clusters=clusters, seed=3, pixels=20), to)
            except DataError as error:
                parts = len(list(to.parent.glob(f".survey.partial-*/part-*.npz")))
                left = [*to.parent.glob("survey"), *to.parent.glob(".survey.partial-*/survey")]
                print(error.exit_code, parts, left, error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        write_survey(SimulateSpec(clusters=150, seed=3, pixels=20), to)
    """
    to = tmp_path / "survey"
    process = run(program, to)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    full = output.splitlines()
    assert [line.split(maxsplit=3)[:3] for line in full] == [["2", "2", "[]"]] * 2  # the first two parts stay
    for line in full:
        assert "survey: cannot be written (File too large), and nothing is left under this name" in line
        assert "MiB are free" in line
    assert sorted(content(to)) == ["catalogue.fits", "images.fits"]


# The first is killed after its first part: it waits there, as it has no time to be fast or slow.
PROGRAM = """
    import sys, time
    from pathlib import Path
    from clustersweep.survey.simulator.simulate import write_survey
    from clustersweep.survey.spec import SimulateSpec

    def tell(done, total):
        print(done, flush=True)
        if done and sys.argv[2:]:
            time.sleep(600)

    write_survey(SimulateSpec(clusters=300, seed=3, pixels=10), Path(sys.argv[1]), jobs=2, progress=tell)
"""


@pytest.mark.integration
def test_a_killed_simulation_takes_its_processes_with_it_and_is_finished_by_the_next(
    run: Run, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    to = tmp_path / "survey"
    first = run(PROGRAM, to, "wait")
    assert first.stdout is not None
    while int(first.stdout.readline()) < 128:
        pass
    children = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    _, left = psutil.wait_procs(children, timeout=30)
    assert len(children) >= 2
    assert left == []
    assert not to.exists()
    seen: list[int] = []
    write_survey(SEVERAL_PARTS, to, progress=lambda done, total: seen.append(done))
    assert seen[0] >= 128
    assert content(to) == undisturbed


@pytest.mark.integration
def test_more_processes_write_the_same_files_and_two_that_want_the_same_survey_do_not_disturb_each_other(
    run: Run, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    to = tmp_path / "survey"
    both = [run(PROGRAM, to), run(PROGRAM, to)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [path.name for path in tmp_path.iterdir()] == ["survey"]
    assert {outputs[0].split()[-1], outputs[1].split()[-1]} == {"300"}
    assert content(to) == undisturbed
