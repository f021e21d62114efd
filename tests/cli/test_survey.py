"""The verbs for surveys as an astronomer types them: what is printed, what is written, and the exit code."""

import contextlib
import gzip
import logging
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import forking
import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import Table
from children import Children
from command_line import Done, type_here
from pyarrow import feather
from rich.console import Console

from clustersweep.cli import main as cli
from clustersweep.display.progress import Display
from clustersweep.home import Home
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import read_source
from clustersweep.sweep.launch import read_plan
from clustersweep.tasks import load_study

CLUSTERS = 12


Type = Callable[..., Done]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Type a command in this process, which is quick; the working folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    return type_here


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(children: Children) -> Start:
    """Type a command in a process of its own, as a shell does."""

    def run(folder: Path, *words: object, before: Callable[[], None] | None = None) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "clustersweep", *words]
        pipe = subprocess.PIPE
        return children(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=before)

    return run


def images() -> np.ndarray:
    return np.random.default_rng(6).poisson(3.0, (CLUSTERS, 6, 6, 3)).astype(np.float64)


def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "SRC_ID_IN": np.arange(CLUSTERS) + 100,
        "M500c": 10 ** rng.uniform(13.0, 15.0, CLUSTERS),
        "z": rng.uniform(0.05, 0.9, CLUSTERS),
    }


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """The lab's two files, and the same as FITS and npz."""
    content = {"cluster": columns()["SRC_ID_IN"].tolist(), "gsm_3dImgs": list(images())}
    (tmp_path / "i.pickle").write_bytes(pickle.dumps(content))
    feather.write_feather(pa.table(columns()), tmp_path / "c.f")
    fits.PrimaryHDU(images()).writeto(tmp_path / "i.fits")
    Table(columns()).write(tmp_path / "c.fits")
    np.savez(tmp_path / "i.npz", images=images(), **columns())
    return tmp_path


# simulate and show


def test_a_survey_is_simulated_and_shown(typed: Type, tmp_path: Path) -> None:
    made = typed("simulate", "survey", "--clusters", 12, "--seed", 3, "--pixels", 10, "--jobs", 1)
    assert made.code == 0
    assert made.out == "survey/images.fits\nsurvey/catalogue.fits\n"
    shown = typed("show", "survey")
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0].split() == ["clusters", "12"]
    assert lines[-1] == "survey.html"
    assert "10 x 10 pixels x 10 bands, 0.25 to 2.3 keV" in shown.out
    assert "counts, uint8" in shown.out
    assert 'id="figure-histograms"' in (tmp_path / "survey.html").read_text()
    again = typed("simulate", "survey", "--clusters", 12, "--seed", 3, "--pixels", 10, "--jobs", 1)
    assert again.code == 0  # the same command again does no harm
    other = typed("simulate", "survey", "--clusters", 13, "--pixels", 10, "--jobs", 1)
    assert other.code == 2
    assert "is there already and is not the survey that was asked for" in other.err


def test_nonsense_is_refused_with_exit_2(typed: Type) -> None:
    for words in (
        ["simulate", "s", "--clusters", 9],
        ["simulate", "s", "--pixels", 3],
        ["simulate", "s", "--seed", -1],
        ["simulate"],
        ["convert", "i.pickle"],
    ):
        done = typed(*words)
        assert done.code == 2
        assert done.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["i.pickle", "--catalogue", "c.f"],
        ["i.pickle", "--catalogue", "c.fits"],
        ["i.fits", "--catalogue", "c.fits"],
        ["i.npz"],
    ],
)
def test_every_format_is_shown_with_the_same_digest(typed: Type, lab: Path, words: list[str]) -> None:
    shown = typed("show", *words, "--to", "page/survey.html")
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[-1] == "page/survey.html"
    assert (lab / "page" / "survey.html").exists()
    whole = read_source(lab / "i.npz", lab / "i.npz", ColumnNames()).dataset
    assert f"{whole.digest}\n" in shown.out
    assert "Traceback" not in shown.err


def test_show_and_convert_take_the_names_of_the_columns(typed: Type, lab: Path) -> None:
    own = columns()
    table = {"halo": own["SRC_ID_IN"], "heavy": own["M500c"], "far": own["z"]}
    feather.write_feather(pa.table(table), lab / "own.f")
    done = typed("convert", "i.pickle", "--catalogue", "own.f", "--to", "survey")
    assert done.code == 2
    assert "which has: halo, heavy, far" in done.err
    names = ["--mass", "heavy", "--redshift", "far", "--identifier", "halo"]
    done = typed("show", "i.pickle", "--catalogue", "own.f", *names)
    assert done.code == 0, done.err
    done = typed("convert", "i.pickle", "--catalogue", "own.f", "--to", "survey", *names)
    assert done.code == 0, done.err
    assert Table.read(lab / "survey" / "catalogue.fits").colnames == ["identifier", "M500c", "z"]


# convert


def test_the_labs_files_become_fits_and_npz_of_the_same_digest(typed: Type, lab: Path) -> None:
    first = typed("convert", "i.pickle", "--catalogue", "c.f", "--to", "survey")
    assert first.code == 0, first.err
    assert first.out.startswith("survey: 12 clusters, digest ")
    second = typed("convert", "survey", "--to", "survey.npz")
    third = typed("convert", "survey.npz", "--to", "again")
    assert (second.code, third.code) == (0, 0)
    assert len({done.out.split()[-1] for done in (first, second, third)}) == 1
    back = read_source(lab / "again" / "images.fits", lab / "again" / "catalogue.fits", ColumnNames()).dataset
    assert np.array_equal(back.images, images())
    assert np.array_equal(back.log_mass, np.log10(columns()["M500c"]))
    refused = typed("convert", "i.pickle", "--catalogue", "c.f", "--to", "survey")
    assert refused.code == 2
    assert "survey: is there already. Remove it, or write to another place" in refused.err


@pytest.mark.parametrize("verb", ["convert", "show"])
def test_a_malicious_pickle_exits_2_and_nothing_ran(typed: Type, lab: Path, verb: str) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {lab / 'ran'}",)

    content = {"cluster": [1, 2], "gsm_3dImgs": [images()[0], Evil()]}
    (lab / "evil.pickle").write_bytes(pickle.dumps(content))
    to = "survey" if verb == "convert" else "survey.html"
    code, out, err = typed(verb, "evil.pickle", "--catalogue", "c.f", "--to", to)
    assert (code, out) == (2, "")
    assert "evil.pickle: is refused: it asks for posix.system" in err
    assert "Nothing in it was run" in err
    assert "Traceback" not in err
    assert not (lab / "ran").exists()
    assert not (lab / to).exists()
    pickle.loads((lab / "evil.pickle").read_bytes())
    assert (lab / "ran").exists()  # it would have, elsewhere


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda whole: whole[: len(whole) // 2], r"truncated|cannot be read"),
    "gzip": (gzip.compress, "is compressed with gzip"),
    "empty": (lambda whole: b"", "is empty"),
    "text": (lambda whole: b"not astronomy at all", "is not FITS, npz, feather or pickle"),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", ["i.pickle", "i.fits", "i.npz", "c.f", "c.fits"])
def test_a_damaged_file_exits_2_with_one_message(typed: Type, lab: Path, name: str, how: str) -> None:
    damage, said = DAMAGE[how]
    (lab / name).write_bytes(damage((lab / name).read_bytes()))
    first = name if name.startswith("i") else "i.pickle"
    catalogue = [] if name == "i.npz" else ["--catalogue", name if name.startswith("c") else "c.f"]
    for verb, to in (("convert", "survey"), ("show", "survey.html")):
        done = typed(verb, first, *catalogue, "--to", to)
        assert done.code == 2
        assert done.out == ""
        message = done.err.strip()
        assert message.startswith(f"error: {name}: ")
        assert "\n" not in message
        assert any(part in message for part in said.split("|"))
        assert not (lab / to).exists()


def test_what_is_missing_is_named_with_the_option_that_gives_it(typed: Type, lab: Path) -> None:
    for words, said in (
        (["none.pickle"], "none.pickle: there is no such file. Check the path"),
        (["none.pickle", "--catalogue", "c.f"], "none.pickle: there is no such file. Check the path"),
        (["i.pickle", "--catalogue", "none.f"], "none.f: there is no such file. Check the path"),
        (
            ["i.pickle"],
            "i.pickle: needs a catalogue: only an npz file holds its own. Name the catalogue's file too: --",
        ),
        (["."], "catalogue.fits: there is no such file"),
    ):
        for verb in ("show", "convert"):
            done = typed(verb, *words, "--to", "x")
            assert done.code == 2
            assert said in done.err


def test_an_npz_of_images_alone_needs_a_catalogue_which_is_named_by_an_option(typed: Type, lab: Path) -> None:
    np.savez(lab / "alone.npz", images=images(), bands_kev=[(0.3, 1), (1, 2), (2, 4)])
    said = "alone.npz: needs a catalogue: it holds images alone, and no column of masses. Name the catalogue's file "
    said += "too: --catalogue FILE, or `catalogue: FILE` in a study"
    for words in (["show"], ["convert", "--to", "x"]):
        done = typed(*words, "alone.npz")
        assert done.code == 2
        assert said in done.err
        assert typed(*words, "alone.npz", "--catalogue", "c.fits").code == 0
    done = typed("plan", study(lab, "images: alone.npz"), "--home", "home")
    assert done.code == 2
    assert said in done.err


def test_the_page_that_show_writes_has_the_name_of_the_survey(typed: Type, lab: Path) -> None:
    for to in ("w15", "x/w16"):
        assert typed("convert", "i.npz", "--to", to).code == 0
    for words, page in (
        (["w15"], "w15.html"),
        (["x/w16/images.fits"], "w16.html"),  # a folder's files are all called so
        (["i.fits", "--catalogue", "c.fits"], "i.html"),
        (["i.npz"], "i.html"),
    ):
        done = typed("show", *words)
        assert (done.code, done.out.splitlines()[-1]) == (0, page)
        assert (lab / page).exists()
    assert not (lab / "survey.html").exists()


@pytest.mark.parametrize("verb", ["convert", "show"])
def test_masses_in_another_unit_exit_2_with_the_remedy_which_works(typed: Type, lab: Path, verb: str) -> None:
    table = columns()
    table["M500c"] = np.log10(table["M500c"])
    feather.write_feather(pa.table(table), lab / "log.f")
    words = [verb, "i.pickle", "--catalogue", "log.f", "--to", "survey"]
    done = typed(*words)
    assert done.code == 2
    assert "they look like log10 of solar masses" in done.err
    assert "`--mass-unit 'dex(solMass)'` to a verb" in done.err
    assert typed(*words, "--mass-unit", "dex(solMass)").code == 0


@pytest.mark.parametrize("verb", ["convert", "show", "plan"])
def test_a_unit_that_is_overridden_is_told_once(lab: Path, verb: str) -> None:
    own = columns()
    table = Table({"ID": own["SRC_ID_IN"], "z": own["z"], "M500": own["M500c"]}, units={"M500": "1e14 solMass"})
    table.write(lab / "own.fits")
    files = ["i.fits", "--catalogue", "own.fits", "--mass-unit", "solMass"]
    words = {"convert": [*files, "--to", "survey", "--drop-invalid"], "show": files}.get(verb, [])
    if verb == "plan":
        data = "images: i.fits, catalogue: own.fits, mass_unit: solMass"
        words = [str(study(lab, data)), "--home", str(lab / "home")]
    with contextlib.chdir(lab):
        done = forking.run([verb, *words], os.environ, 100.0)
    err = done.stderr
    assert done.returncode == 0, err
    assert re.match(r"warning: (\S+/)?own\.fits: the file says", err)
    assert err.count("the file says that M500 is in 1e+14 solMass; taken as solMass, as you say") == 1


def test_a_survey_with_other_habits_goes_from_its_files_to_a_plan(
    typed: Type, lab: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = columns()
    own["z"][[2, 7]] = np.nan
    habits = {"ID": own["SRC_ID_IN"], "REDSHIFT": own["z"], "MASS_500": own["M500c"] / 1e14}
    Table(habits, units={"MASS_500": "1e14 solMass"}).write(lab / "own.fits")
    data = "images: i.fits, catalogue: own.fits"
    assert typed("plan", study(lab, data), "--home", "home").code == 0  # an image alone needs no redshift
    done = typed("show", "i.fits", "--catalogue", "own.fits")
    assert done.code == 0, done.err
    assert "2 clusters have none" in done.out
    said = "mass MASS_500 in 1e+14 solMass, redshift REDSHIFT, identifier ID"
    assert f"columns                  {said}\n" in done.out
    converted = typed("convert", "i.fits", "--catalogue", "own.fits", "--to", "survey", "--drop-invalid")
    assert converted.code == 0, converted.err
    assert converted.out.startswith("survey: 10 clusters")
    assert f"taken from own.fits: {said}\n" in converted.out
    assert "own.fits: dropped 2 of 12 rows with no redshift in `REDSHIFT`: 2, 7" in caplog.text
    assert Table.read(lab / "survey" / "catalogue.fits").colnames == ["ID", "z", "M500c"]
    needing = study(lab, "images: survey").read_text().replace("kernel_size: 3", "kernel_size: 3, redshift: head")
    (lab / "study.yaml").write_text(needing)
    assert typed("plan", "study.yaml", "--home", "home").code == 0
    (lab / "study.yaml").write_text(needing.replace("images: survey", data))
    refused = typed("plan", "study.yaml", "--home", "home")
    assert refused.code == 2
    assert "REDSHIFT = nan in row 2, nan in row 7: must be a redshift" in refused.err
    assert "--drop-invalid" in refused.err
    assert "A study without `redshift: head` or `dense` trains on all rows" in refused.err


def test_show_and_convert_say_whence_the_order_of_the_rows_is_known_and_the_mean_of_each_band(
    typed: Type, lab: Path
) -> None:
    means = "  ".join(f"{mean:,.4g}" for mean in images().sum(axis=(1, 2), dtype=float).mean(axis=0))
    own = columns()
    other = Table({"M500c": own["M500c"], "z": own["z"]})
    other.write(lab / "other.fits")
    for catalogue, order in (
        ("c.f", "that of the images' own identifiers (SRC_ID_IN)"),
        ("other.fits", "trusted: the catalogue has not the images' identifiers"),
    ):
        shown = typed("show", "i.pickle", "--catalogue", catalogue)
        assert shown.code == 0, shown.err
        assert f"order of the rows        {order}\n" in shown.out
        assert f"mean of each band        {means}\n" in shown.out
        converted = typed("convert", "i.pickle", "--catalogue", catalogue, "--to", f"{catalogue}-survey")
        assert converted.code == 0, converted.err
        assert f"\norder of the rows: {order}\n" in converted.out
        assert f"\nmean of each band: {means}\n" in converted.out
        correlation = re.search(r"^counts and mass +rank correlation (.*)$", shown.out, re.MULTILINE).group(1)
        assert f"\nrank correlation of counts and mass: {correlation}\n" in converted.out
    assert "order of the rows        trusted: the images name no clusters\n" in typed("show", "i.npz").out


def test_convert_suspects_rows_in_another_order(typed: Type, lab: Path, caplog: pytest.LogCaptureFixture) -> None:
    mass = np.geomspace(1e13, 1e15, 40)
    bright = np.ones((40, 5, 5, 1)) * np.round(mass / 1e12)[:, None, None, None]
    for name, column in (("ordered", mass), ("turned", mass[np.argsort(np.arange(40) % 7, kind="stable")])):
        np.savez(lab / f"{name}.npz", images=bright, M500c=column, z=np.full(40, 0.3))
        caplog.clear()
        assert typed("convert", f"{name}.npz", "--to", name).code == 0
        asked = "are the rows of the catalogue in the order of the images?" in caplog.text
        assert asked == (name == "turned")


def test_bad_pixels_exit_2_with_their_clusters(typed: Type, lab: Path) -> None:
    bad = images()
    bad[3, 0, 0, 0], bad[5, 1, 1, 1] = np.nan, -2
    np.savez(lab / "bad.npz", images=bad, **columns())
    done = typed("convert", "bad.npz", "--to", "survey")
    assert done.code == 2
    assert "NaN pixels in cluster 3" in done.err
    assert "negative pixels in cluster 5" in done.err


def test_a_full_disk_exits_2_and_leaves_nothing_converted(start: Start, lab: Path) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    for to in ("survey", "survey.npz"):
        process = start(lab, "convert", "i.pickle", "--catalogue", "c.f", "--to", to, before=small_files)
        out, err = process.communicate()
        assert process.returncode == 2, err
        assert out == ""
        assert f"{to}: cannot be written (File too large), and nothing is left under this name" in err
        assert "MiB are free" in err
    assert sorted(path.name for path in lab.iterdir()) == ["c.f", "c.fits", "i.fits", "i.npz", "i.pickle"]


@pytest.mark.integration
def test_ctrl_c_ends_a_simulation_with_130_and_the_same_command_goes_on(
    start: Start, typed: Type, tmp_path: Path
) -> None:
    words = ["simulate", "survey", "--clusters", 640, "--pixels", 10, "--jobs", 2]
    first = start(tmp_path, *words)
    while not list(tmp_path.glob(".survey.partial-*/part-*.npz")):
        assert first.poll() is None
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: all processes get it
    _, err = first.communicate()
    assert first.returncode == 130
    assert "interrupted: what ran is checkpointed. The same command goes on from there" in err
    assert "Traceback" not in err
    assert not (tmp_path / "survey").exists()
    parts = len(list(tmp_path.glob(".survey.partial-*/part-*.npz")))
    assert parts >= 1
    second = typed(*words)
    assert second.code == 0, second.err
    assert second.out == "survey/images.fits\nsurvey/catalogue.fits\n"
    assert [path.name for path in tmp_path.iterdir()] == ["survey"]


# A study's data


def study(folder: Path, data: str) -> Path:
    path = folder / "study.yaml"
    search = "search_space: {filters: [4]}\nnetwork: {convs_per_block: 1, conv_blocks: 1, kernel_size: 3}\n"
    path.write_text(f"study: mine\ndata: {{{data}}}\n{search}")
    return path


def test_a_plan_reads_no_more_than_a_surveys_header(typed: Type, lab: Path) -> None:
    assert typed("convert", "i.pickle", "--catalogue", "c.f", "--to", "survey").code == 0
    path = lab / "survey" / "images.fits"
    with fits.open(path) as hdus:
        pixels = hdus[0].fileinfo()["datLoc"]
    whole = bytearray(path.read_bytes())
    whole[pixels : pixels + 6] = b"\xff" * 6  # which only a launch reads, and then finds out
    path.write_bytes(whole)
    done = typed("plan", study(lab, "images: survey/images.fits, catalogue: survey/catalogue.fits"), "--home", "home")
    assert done.code == 0, done.err
    assert "images 6 x 6 x 3" in done.out
    shown = typed("show", "survey")
    assert shown.code == 2
    assert "its content is not what was written" in shown.err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("images: i.pickle, catalogue: c.f", "i.pickle --catalogue CATALOGUE --to survey"),
        ("images: survey, catalogue: survey", "is a folder, and a file is expected. Give "),
        ("images: i.fits", "only npz files hold the masses and redshifts beside the images"),
        ("images: none.fits, catalogue: c.f", "there is no such file"),
        ("images: i.fits, catalogue: c.f, rebin: 4", "must divide the images' 6 x 6 pixels"),
        ("images: i.fits, catalogue: c.f, mass: M50Oc", "Did you mean `M500c`? Name the column with `mass:`"),
        ("images: c.f, catalogue: c.f", "is a feather table; a sweep reads images from FITS or npz only"),
    ],
)
def test_a_plan_of_data_that_cannot_be_used_exits_2_and_says_why(typed: Type, lab: Path, data: str, said: str) -> None:
    assert typed("convert", "i.pickle", "--catalogue", "c.f", "--to", "survey").code == 0
    done = typed("plan", study(lab, data), "--home", "home")
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_the_command_that_the_plan_suggests_for_a_pickle_works(typed: Type, lab: Path) -> None:
    done = typed("plan", study(lab, "images: i.pickle, catalogue: c.f"), "--home", "home")
    command = done.err.split("Convert it once: clustersweep ")[1].strip()
    assert typed(*command.replace("CATALOGUE", "c.f").split()).code == 0
    ready = study(lab, "images: survey/images.fits, catalogue: survey/catalogue.fits")
    assert typed("plan", ready, "--home", "home").code == 0


# A split by identifier


@pytest.fixture
def haloes(tmp_path: Path) -> Path:
    """20 haloes in 4 rows each, whose column has no usual name."""
    rng = np.random.default_rng(8)
    fits.PrimaryHDU(rng.poisson(3.0, (80, 6, 6, 3)).astype(np.float64)).writeto(tmp_path / "i.fits")
    mass, z = 10 ** rng.uniform(13.0, 15.0, 80), rng.uniform(0.05, 0.9, 80)
    Table({"halo_id": np.repeat(np.arange(20), 4), "M500c": mass, "z": z}).write(tmp_path / "c.fits")
    return tmp_path


def by_identifier(folder: Path, data: str) -> Path:
    path = study(folder, data)
    path.write_text(path.read_text() + "split: {by: identifier}\n")
    return path


def recipe(folder: Path, data: str) -> Path:
    path = folder / "recipe.yaml"
    head = "format: clustersweep-training\nversion: 1\nnetwork: {filters: 2}\n"
    path.write_text(f"{head}data: {{{data}}}\nsplit: {{by: identifier}}\n")
    return path


OWN = "images: i.fits, catalogue: c.fits"


@pytest.mark.parametrize("verb", ["plan", "launch", "train"])
def test_a_split_by_identifier_without_a_column_is_refused_with_the_columns_and_how_to_name_one(
    typed: Type, haloes: Path, verb: str
) -> None:
    file = recipe(haloes, OWN) if verb == "train" else by_identifier(haloes, OWN)
    done = typed(verb, file, "--home", "home")
    assert done.code == 2
    assert (
        "split.by = identifier: needs a column that names the haloes; no usual one (identifier, SRC_ID_IN" in done.err
    )
    assert (
        "is in the catalogue, which has: halo_id, M500c, z. By row, rows of one halo would train and test" in done.err
    )
    assert "Name the column in the file: `data: {identifier: halo_id}`, or write `split: {by: cluster}`." in done.err
    assert "Values are repeated in: halo_id." in done.err
    assert not (haloes / "home" / "runs").exists()


def test_row_numbers_that_convert_gave_the_images_are_no_identifiers(typed: Type, haloes: Path) -> None:
    assert typed("convert", "i.fits", "--catalogue", "c.fits", "--to", "survey").code == 0
    done = typed("plan", by_identifier(haloes, "images: survey"), "--home", "home")
    assert done.code == 2
    assert "needs a column that names the haloes" in done.err


def test_a_split_by_a_column_that_is_named_is_planned_without_a_word(typed: Type, haloes: Path) -> None:
    done = typed("plan", by_identifier(haloes, f"{OWN}, identifier: halo_id"), "--home", "home")
    assert (done.code, done.err) == (0, "")


def test_a_split_by_identifiers_that_are_all_unique_is_warned_of(
    typed: Type, lab: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert typed("plan", by_identifier(lab, "images: i.fits, catalogue: c.f"), "--home", "home").code == 0
    assert "SRC_ID_IN: every identifier is unique, so `split: {by: identifier}` keeps nothing together" in caplog.text


def test_a_split_of_a_simulated_survey_by_identifier_goes_on_and_says_that_all_clusters_are_different(
    typed: Type, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = typed("plan", by_identifier(tmp_path, "simulate: {clusters: 50, pixels: 10}"), "--home", "home")
    assert done.code == 0
    assert "the clusters of a simulated survey are all different, so none are kept together" in caplog.text


def test_what_was_stored_with_a_split_by_row_numbers_is_still_planned_for_its_report_and_export(haloes: Path) -> None:
    stored = load_study(by_identifier(haloes, OWN))
    planned = read_plan(stored, Home(haloes / "home"), Display(Console(stderr=True)))
    assert planned.digest is not None


def test_a_launch_and_a_training_of_images_alone_read_data_without_redshifts(lab: Path) -> None:
    from clustersweep.home import find_home
    from clustersweep.tasks import load_study

    np.savez(lab / "far.npz", images=images(), **(columns() | {"z": np.full(CLUSTERS, np.nan)}))
    loaded = load_study(study(lab, "images: far.npz"))
    data = loaded.task.load(loaded.axes, find_home(lab / "home", {}, os.getuid()).surveys)
    assert np.isnan(data.train_redshift).all()
    assert (data.scaling.redshift_mean, data.scaling.redshift_sd) == (0.0, 1.0)


# what a launch and a training say of data before they train


def ordered(folder: Path, *, turned: bool) -> Path:
    """Write images whose counts follow their masses, in 1e14, and a catalogue; `turned`: in another order."""
    mass = np.geomspace(1e13, 9e14, 40)
    bright = np.ones((40, 8, 8, 1)) * np.round(mass / 1e12)[:, None, None, None]
    rows = np.argsort(np.arange(40) % 7, kind="stable") if turned else np.arange(40)
    fits.PrimaryHDU(bright).writeto(folder / "own-i.fits")
    columns = {"MASS_500": mass[rows] / 1e14, "z": np.full(40, 0.3)}
    Table(columns, units={"MASS_500": "1e14 solMass"}).write(folder / "own-c.fits")
    return folder


ORDER = "are the rows of the catalogue in the order of the images?"
TAKEN = "masses from MASS_500 in 1e14 solMass: 1e13 to 9e14 solMass, nine in ten between 1.3e13 and 7.2e14"


@pytest.mark.parametrize("turned", [False, True])
def test_a_launch_says_what_it_takes_and_suspects_rows_in_another_order_once(
    lab: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], turned: bool
) -> None:
    ordered(lab, turned=turned)
    loaded = load_study(study(lab, "images: own-i.fits, catalogue: own-c.fits"))
    home, handler = Home(lab / "home"), cli._Stderr()
    caplog.set_level("INFO", "clustersweep.survey.source")
    logging.getLogger().addHandler(handler)
    try:
        planned = read_plan(loaded, home, Display(Console(stderr=True)))  # reads files without a digest
        assert not caplog.records  # the images are compared with their catalogue when they are opened, not twice
        loaded.task.load(loaded.axes, home.surveys)
    finally:
        logging.getLogger().removeHandler(handler)
    said = capsys.readouterr().err
    assert said.count(ORDER) == turned
    assert said.count(TAKEN) == 1
    assert "own-c.fits: mass MASS_500 in 1e+14 solMass, redshift z, identifier none" in planned.header.source


def test_a_simulated_survey_says_nothing_of_columns_and_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "clustersweep.survey.source")
    loaded = load_study(study(tmp_path, "simulate: {clusters: 50, pixels: 10}"))
    loaded.task.load(loaded.axes, Home(tmp_path / "home").surveys)
    assert "masses from" not in caplog.text
    assert ORDER not in caplog.text


def test_convert_prints_the_range_of_the_masses(typed: Type, lab: Path) -> None:
    ordered(lab, turned=False)
    done = typed("convert", "own-i.fits", "--catalogue", "own-c.fits", "--to", "survey")
    assert f"\n{TAKEN}\n" in done.out


@pytest.mark.parametrize("verb", ["show", "convert", "plan"])
def test_a_simulated_catalogue_sorted_without_its_images_is_refused_although_its_clusters_are_counted(
    typed: Type, lab: Path, verb: str
) -> None:
    assert typed("simulate", "mock", "--clusters", 20, "--pixels", 8).code == 0
    table = Table.read("mock/catalogue.fits")
    table.sort("M500c")
    table.meta.clear()
    table.write("sorted.fits")
    words = ["mock/images.fits", "--catalogue", "sorted.fits"] + ["--to", "survey"] * (verb == "convert")
    if verb == "plan":
        words = [study(lab, "images: mock/images.fits, catalogue: sorted.fits"), "--home", "home"]
    done = typed(verb, *words)
    assert done.code == 2
    assert "sorted.fits: identifier: is in another order than the images" in done.err
    assert "Sort the catalogue in the order of the images, or, if" in done.err


@pytest.mark.parametrize("verb", ["show", "convert", "plan"])
def test_a_column_that_is_no_usual_mass_is_first_asked_whether_it_holds_masses(
    typed: Type, lab: Path, verb: str
) -> None:
    Table({"L_X": np.linspace(0.2, 30, CLUSTERS), "z": columns()["z"]}).write("l.fits")
    words = ["i.fits", "--catalogue", "l.fits", "--mass", "L_X"] + ["--to", "survey"] * (verb == "convert")
    if verb == "plan":
        words = [study(lab, "images: i.fits, catalogue: l.fits, mass: L_X"), "--home", "home"]
    done = typed(verb, *words)
    assert done.code == 2
    assert (
        "they look like units of 1e14 solar masses, if L_X holds masses at all. Check first that it does. If so, that "
        "is `mass_unit: 1e14 solMass` in a study, `--mass-unit '1e14 solMass'` to a verb."
    ) in done.err


NO_REDSHIFTS = (
    "LAMBDA: holds no redshifts, which are above 0 and at most 5: nine in ten of its values lie between 15.26 and "
    "84.74. Columns that look like some: Z_BCG. Name another column with "
)


def of_richness() -> Table:
    own, redshift = columns(), columns()["z"]
    return Table({"LAMBDA": np.linspace(11.4, 88.6, CLUSTERS), "Z_BCG": redshift, "z_err": redshift / 100,
                  "M500c": own["M500c"], "NAME": [f"X {number}" for number in range(CLUSTERS)]})  # fmt: skip


def test_a_column_that_holds_no_redshifts_is_refused_with_its_values_and_those_that_look_like_some(
    typed: Type, lab: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of_richness().write("r.fits")
    words = ["i.fits", "--catalogue", "r.fits", "--redshift", "LAMBDA", "--to", "survey"]
    done = typed("convert", *words, "--drop-invalid")
    assert done.code == 2
    assert NO_REDSHIFTS in done.err
    assert "dropped" not in caplog.text
    assert not Path("survey").exists()
    needing = study(lab, "images: i.fits, catalogue: r.fits, redshift: LAMBDA").read_text()
    (lab / "study.yaml").write_text(needing.replace("kernel_size: 3", "kernel_size: 3, redshift: head"))
    planned = typed("plan", "study.yaml", "--home", "home")
    assert planned.code == 2
    assert NO_REDSHIFTS in planned.err
    assert "in row 0" not in planned.err


def test_redshifts_that_are_all_missing_are_no_other_quantity(
    typed: Type, lab: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (("nan", np.nan), ("minus", -99.0), ("nines", 9999.0)):
        table = of_richness()
        table["LAMBDA"] = value
        table.write(f"{name}.fits")
        done = typed("convert", "i.fits", "--catalogue", f"{name}.fits", "--redshift", "LAMBDA", "--to", name)
        assert done.code == 0, done.err
        assert "12 of 12 clusters have no redshift" in caplog.text


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("1e14 solMass", ""),
        ("1e13 solMass", ""),  # groups: only the look at the range tells
        ("1e12 solMass", "half of the masses are below 2e12 solar masses, as those of single galaxies are"),
        ("1e15 Msun", "one in twenty of the masses is above 8.5e15 solar masses, and no cluster of 5e15 is known"),
    ],
)
def test_masses_that_hardly_any_cluster_has_are_suspected_of_a_wrong_factor(
    typed: Type, lab: Path, caplog: pytest.LogCaptureFixture, unit: str, said: str
) -> None:
    mass = np.geomspace(0.4, 10, CLUSTERS)
    Table({"mass": mass, "z": columns()["z"]}).write("m.fits")
    done = typed("convert", "i.fits", "--catalogue", "m.fits", "--mass-unit", unit, "--to", "survey")
    assert done.code == 0, done.err
    assert said in caplog.text
    assert ("is the unit of the masses right" in caplog.text) == bool(said)
    low, high = {"12": ("4e11", "1e13"), "13": ("4e12", "1e14"), "14": ("4e13", "1e15"), "15": ("4e14", "1e16")}[
        unit[2:4]
    ]
    assert f": {low} to {high} solMass, nine in ten between" in done.out
