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
GOLDEN_COUNTS = [4132, 2409, 3372]
GOLDEN_LOG_MASS = [13.308118, 13.501495, 14.28858]
SEVERAL_PARTS = SimulateSpec(clusters=300, seed=3, pixels=10)
Run = Callable[..., "subprocess.Popen[str]"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


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


def test_pixels_only_cut_the_same_photons_differently() -> None:
    fine, coarse = observation.observe(3, 1, 100), observation.observe(3, 1, 20)
    blocks = fine.image.reshape(20, 5, 20, 5, 10).sum(axis=(1, 3))
    assert np.array_equal(blocks, coarse.image)
    assert fine.row == coarse.row


def test_the_numbers_of_this_version_are_these() -> None:
    # A change here means that SIMULATOR_VERSION must be raised, or old surveys would be taken for new ones.
    rows = [observation.observe(42, cluster, 50) for cluster in range(3)]
    assert [int(o.image.sum()) for o in rows] == GOLDEN_COUNTS
    assert [round(float(np.log10(o.row["M500c"])), 6) for o in rows] == GOLDEN_LOG_MASS


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


@pytest.mark.integration
def test_more_processes_write_the_same_files(tmp_path: Path) -> None:
    write_survey(SEVERAL_PARTS, tmp_path / "one", jobs=1)
    write_survey(SEVERAL_PARTS, tmp_path / "two", jobs=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


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


def test_every_part_of_the_recipe_changes_its_digest() -> None:
    specs = [SMALL, SimulateSpec(clusters=13, seed=3, pixels=20), SimulateSpec(clusters=12, seed=4, pixels=20),
             SimulateSpec(clusters=12, seed=3, pixels=21)]  # fmt: skip
    assert len({spec.digest for spec in specs}) == 4


def test_an_interrupted_simulation_continues_and_never_mixes(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop_after_the_first_part(done: int, total: int) -> None:
        if done:
            raise StopError

    write_survey(SEVERAL_PARTS, tmp_path / "undisturbed")
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
    assert content(to) == content(tmp_path / "undisturbed")
    assert not staging.exists()


def test_a_damaged_part_of_an_interrupted_simulation_is_simulated_again(tmp_path: Path) -> None:
    write_survey(SEVERAL_PARTS, tmp_path / "undisturbed")
    staging = tmp_path / f".survey.partial-{SEVERAL_PARTS.digest}"
    staging.mkdir()
    (staging / "part-00000128.npz").write_bytes(b"PK\x03\x04 half of it")
    write_survey(SEVERAL_PARTS, tmp_path / "survey")
    assert content(tmp_path / "survey") == content(tmp_path / "undisturbed")


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
    # No file may grow beyond 1 MB: the parts fit, the cube of all of them does not.
    program = """
        import resource, sys
        from pathlib import Path
        from clustersweep.errors import DataError
        from clustersweep.survey.simulator.simulate import write_survey
        from clustersweep.survey.spec import SimulateSpec
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        try:
            write_survey(SimulateSpec(clusters=400, seed=3, pixels=20), Path(sys.argv[1]))
        except DataError as error:
            print(error)
            sys.exit(error.exit_code)
    """
    to = tmp_path / "survey"
    for limit in (1_000_000, 100_000):
        full = run(program, to, limit)
        output, _ = full.communicate()
        assert full.returncode == 2, output
        assert "survey: cannot be written (File too large), and nothing is left under this name" in output
        assert "MiB are free" in output
        assert not to.exists()
        assert not list(tmp_path.glob(".survey.partial-*/survey"))  # and nothing large is left behind
    room = run(program, to, 2**30)
    room.communicate()
    assert room.returncode == 0
    assert sorted(content(to)) == ["catalogue.fits", "images.fits"]


PROGRAM = """
    import sys
    from pathlib import Path
    from clustersweep.survey.simulator.simulate import write_survey
    from clustersweep.survey.spec import SimulateSpec
    write_survey(SimulateSpec(clusters=1000, seed=3, pixels=10), Path(sys.argv[1]), jobs=int(sys.argv[2]),
                 progress=lambda done, total: print(done, flush=True))
"""


@pytest.mark.integration
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_simulation_is_finished_by_the_next(run: Run, tmp_path: Path, how: signal.Signals) -> None:
    to = tmp_path / "survey"
    first = run(PROGRAM, to, 2)
    assert first.stdout is not None
    while int(first.stdout.readline()) < 256:
        pass
    os.killpg(first.pid, how)
    first.communicate()
    assert not to.exists()
    second = run(PROGRAM, to, 2)
    output, _ = second.communicate()
    assert second.returncode == 0, output
    assert int(output.split()[0]) >= 256
    write_survey(SimulateSpec(clusters=1000, seed=3, pixels=10), tmp_path / "undisturbed", jobs=2)
    assert content(to) == content(tmp_path / "undisturbed")


@pytest.mark.integration
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_that_simulate_end_with_the_one_that_started_them(
    run: Run, tmp_path: Path, how: signal.Signals
) -> None:
    started = run(PROGRAM, tmp_path / "survey", 2)
    assert started.stdout is not None
    while int(started.stdout.readline()) < 256:
        pass
    children = psutil.Process(started.pid).children(recursive=True)
    os.kill(started.pid, how)
    started.wait(30)
    _, left = psutil.wait_procs(children, timeout=30)
    assert len(children) >= 2
    assert left == []


@pytest.mark.integration
def test_two_processes_that_want_the_same_survey_do_not_disturb_each_other(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "survey"
    both = [run(PROGRAM, to, 1), run(PROGRAM, to, 1)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [path.name for path in tmp_path.iterdir()] == ["survey"]
    assert {outputs[0].split()[-1], outputs[1].split()[-1]} == {"1000"}
