"""Figures as PNG, with a browser, with what stands in for one, and without."""

import os
import struct
import tempfile
import time
import zlib
from pathlib import Path

import plotly.graph_objects as go
import pytest
from example_training import example_page

from clustersweep.report.model.page import training_figures
from clustersweep.report.png import find_browser, write_pngs

PAGE = example_page(resamples=100)
NAMES = ["masses", "residuals", "reliability", "uncertainty", "curves", "outliers"]


def test_without_a_browser_there_is_a_message_instead_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = write_pngs({"one": go.Figure()}, tmp_path / "figures")
    assert done.files == ()
    assert done.message == "no PNG: no Chrome or Chromium on the PATH could draw them; install chromium"
    assert not (tmp_path / "figures").exists()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a program that stands in for the browser, and an empty folder for temporary files."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(programs))
    return programs / "chromium"


def test_a_browser_that_draws_nothing_is_named(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text("#!/bin/sh\nexit 3\n")
    stand_in.chmod(0o755)
    done = write_pngs({"one": go.Figure()}, tmp_path)
    assert (
        done.message
        == f"no PNG: {stand_in} could not draw them (it drew nothing); the HTML page shows the same figures"
    )
    stand_in.write_text("#!/bin/sh\necho '<pre class=\"error\">Error: no canvas</pre>'\n")
    assert "(Error: no canvas)" in write_pngs({"one": go.Figure()}, tmp_path).message


def runs(pid: str) -> bool:
    """Say whether a process runs; one that is dead may wait for init to fetch it."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


@pytest.mark.parametrize(
    ("script", "message"),
    [("sleep 100 & echo $$ $! > {0}; wait", "it took more than 0.5 s"),
     ("sleep 100 > /dev/null & echo $$ $! > {0}", "it drew nothing")],
    ids=["hangs", "leaves a child behind"],
)  # fmt: skip
def test_a_browser_is_ended_with_its_children_and_leaves_nothing(
    stand_in: Path, tmp_path: Path, script: str, message: str
) -> None:
    pids = tmp_path / "pids"
    stand_in.write_text("#!/bin/sh\n" + script.format(pids))
    stand_in.chmod(0o755)
    done = write_pngs({"one": go.Figure()}, tmp_path, timeout_s=0.5)
    assert f"({message})" in done.message
    deadline = time.monotonic() + 30
    while any(runs(pid) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
    assert list(stand_in.parent.iterdir()) == [stand_in]


@pytest.fixture
def chromium() -> Path:
    """A real browser; where it is missing: in CI a failure, elsewhere a skip that says so."""
    found = find_browser()
    if found is None:
        message = "no Chrome or Chromium on the PATH: install Debian's package chromium"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return found


def pixels(image: bytes) -> tuple[int, int, bytes]:
    """Give width, height and the filtered pixels of a PNG."""
    width, height = struct.unpack(">II", image[16:24])
    place, data = 8, b""
    while place < len(image):
        (length,) = struct.unpack(">I", image[place : place + 4])
        if image[place + 4 : place + 8] == b"IDAT":
            data += image[place + 8 : place + 8 + length]
        place += 12 + length
    return width, height, zlib.decompress(data)


@pytest.mark.integration
def test_every_figure_becomes_a_png_that_shows_something(
    chromium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    figures = training_figures(PAGE)
    done = write_pngs(figures, tmp_path / "figures")
    assert done.message == ""
    assert [path.name for path in done.files] == [f"{name}.png" for name in NAMES]
    for path, figure in zip(done.files, figures.values(), strict=True):
        image = path.read_bytes()
        assert image.startswith(b"\x89PNG\r\n\x1a\n")
        width, height, content = pixels(image)
        assert (width, height) == (2200, 2 * figure.layout.height)
        assert len(set(content)) > 100  # a blank picture has a handful of values
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.integration
def test_a_figure_that_the_browser_cannot_draw_is_a_message(chromium: Path, tmp_path: Path) -> None:
    done = write_pngs({"one": go.Figure(layout={"height": 100}), "t o": go.Figure()}, tmp_path / "figures")
    assert done.files == ()
    assert "could not draw them" in done.message
