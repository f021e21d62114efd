"""The page on own data: its code and commands as they stand, and what its table says is said."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

PAGE = (Path(__file__).parents[1] / "docs" / "own-data.md").read_text()
BLOCKS = re.findall(r"```(python|yaml)\n(.*?)```|((?:^    [^\n]+\n)+)", PAGE, re.DOTALL | re.MULTILINE)
ROWS = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.partition("## What was tried")[2], re.MULTILINE)[1:]
UNIT = ("--mass-unit", "1e14 solMass")


def run(folder, *words, home=None):
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(home or folder / "home")}
    command = [sys.executable, "-m", "clustersweep", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)


def python(folder, code):
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=100)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    python(folder, next(code for kind, code, _ in BLOCKS if kind == "python"))
    return folder


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_everything_on_the_page_runs_as_it_stands_from_own_files_to_masses(embedded_home, tmp_path):
    verbs = []
    for kind, code, commands in BLOCKS:
        if kind == "python":
            python(tmp_path, code)
        elif kind == "yaml":
            (tmp_path / "near.yaml").write_text(code)
        for line in commands.splitlines():
            program, *words = shlex.split(line)
            assert program == "clustersweep"
            done = run(tmp_path, *words, home=embedded_home.path)
            assert done.returncode == 0, done.stderr
            verbs.append(words[0])
    assert verbs == ["convert", "show", "convert", "plan", "launch", "export", "train", "predict"]
    said = " ".join(done.stderr.split())
    assert "training" in said
    assert {str(part) for part in Table.read(tmp_path / "masses.fits")["part"]} >= {"train", "test"}
    assert len(Table.read(tmp_path / "survey" / "catalogue.fits")) == 54


def changed(folder, made, what):
    """Write the page's files changed as a row of its table says; gives the options that `show` is then given."""
    table, images, unit = Table.read(made / "clusters.fits"), fits.getdata(made / "images.fits"), UNIT
    catalogue = "clusters.fits"
    match what:
        case "masses in 1e14, no unit anywhere":
            unit = ()
        case "masses in 1e14, the unit in the file":
            table["MASS_500"].unit, unit = "1e14 solMass", ()
        case "log10 of masses under the unit `dex(solMass)`":
            table["MASS_500"], unit = np.log10(table["MASS_500"] * 1e14), ("--mass-unit", "dex(solMass)")
        case "a mass of -1":
            table["MASS_500"][5] = -1
        case "`Mass_500` and `redshift`":
            table.rename_columns(["MASS_500", "REDSHIFT"], ["Mass_500", "redshift"])
        case "two columns of masses, `M500` and `mass`":
            table["M500"] = table["mass"] = table["MASS_500"]
            table.remove_column("MASS_500")
        case "no column of masses, but `my_m500`":
            table.rename_column("MASS_500", "my_m500")
        case "the bands first, `(cluster, band, height, width)`":
            images = np.moveaxis(images, 3, 1)
        case "one image less than rows":
            images = images[:-1]
        case "NaN in a pixel":
            images = images.astype(np.float32)
            images[3, 0, 0, 0] = np.nan
        case "a negative pixel":
            images[4, 0, 0, 0] = -1
        case "one cube a band, `(cluster, height, width)`":
            images = images[..., 0]
        case "no redshifts at all":
            table.remove_column("REDSHIFT")
        case "a catalogue in CSV":
            catalogue = "clusters.csv"
        case "an edited file, not converted":
            fits.PrimaryHDU(images).writeto(folder / "images.fits")
            table.write(folder / "clusters.fits")
            assert run(folder, "convert", "images.fits", "--catalogue", catalogue, *unit, "--to", "s").returncode == 0
            edited = Table.read(folder / "s" / "catalogue.fits")
            edited["M500c"] *= 1.1
            edited.write(folder / "s" / "catalogue.fits", overwrite=True)
            return ["s"]
        case _:
            pytest.fail(f"no test makes {what!r}")
    fits.PrimaryHDU(images).writeto(folder / "images.fits")
    table.write(folder / catalogue)
    return ["images.fits", "--catalogue", catalogue, *unit]


@pytest.mark.integration
@pytest.mark.parametrize(("what", "said"), ROWS)
def test_what_the_table_says_is_said(what, said, made, tmp_path):
    done = run(tmp_path, "show", *changed(tmp_path, made, what), "--to", "page.html")
    assert done.returncode == (0 if said == "taken" else 2), done.stderr
    assert said in ("taken", "") or said in done.stderr
