"""The page on own data: its code and commands as they stand, and what its table says is said."""

import contextlib
import os
import re
import shlex
from pathlib import Path

import forking
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from command_line import type_here, typed
from places import ROOT

from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import convert

PAGE = (ROOT / "docs" / "own-data.md").read_text()
BLOCKS = re.findall(r"```(python|yaml)\n(.*?)```|((?:^    [^\n]+\n)+)", PAGE, re.DOTALL | re.MULTILINE)
ROWS = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.partition("## What was tried")[2], re.MULTILINE)[1:]
UNIT = ("--mass-unit", "1e14 solMass")


def run(folder, *words, home=None):
    # Without a browser, which would draw the figures of a training for ten seconds.
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(home or folder / "home"), "PATH": "/"}
    with contextlib.chdir(folder):
        return typed(*words, env=env, timeout_s=300.0)


def python(folder, code):
    with contextlib.chdir(folder):
        done = forking.run(["-c", code], os.environ, 100.0)
    assert done.returncode == 0, done.stderr


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


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_survey_without_any_redshift_goes_from_its_files_to_masses_of_images_alone(
    embedded_home, made, tmp_path, monkeypatch, caplog
):
    """In one process: every verb's own start would be most of the time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLUSTERSWEEP_HOME", str(embedded_home.path))
    table = Table.read(made / "clusters.fits")
    table["ID", "MASS_500"].write("blind.fits")
    table["MASS_500"].name = "my_m500"
    table["ID", "my_m500"].write("named.fits")
    data = f"images: {made / 'images.fits'}, catalogue: named.fits, mass: my_m500, mass_unit: 1e14 solMass"
    Path("blind.yaml").write_text(
        f"study: blind\ndata: {{{data}}}\nsearch_space: {{filters: [2]}}\nseeds: [0]\n"
        "network: {kernel_size: 3, conv_blocks: 1, dense_layers: 1, dense_units: [4]}\n"
        "training: {epochs: 2, batch_size: 8}\n"
    )

    def said(*words):
        code, out, err = type_here(*words)
        assert code == 0, err
        return out

    said("launch", "blind.yaml", "--in-process")
    assert "1 complete" in said("status", "blind.yaml")
    assert "equal within" in said("export", "blind.yaml", "--to", "best")
    recipe = Path("best/config.yaml").read_text()
    Path("recipe.yaml").write_text(re.sub(r"(?s)\nprobabilistic:.*?\n\n", "\nprobabilistic: {epochs: 1}\n\n", recipe))
    trained = said("train", "recipe.yaml", "--to", "model", "--threads", 1)
    assert "RMSE of `counts`" in trained
    assert not re.search(r"\bz\b|\bnan\b", trained)
    assert "predict  clustersweep predict model IMAGES --to masses.fits\n" in trained
    assert "predict model IMAGES --to masses.fits" in Path("model/report.html").read_text()
    images = made / "images.fits"
    alone = said("predict", "model", images, "--to", "alone.fits", "--threads", 1)
    assert "flag 4             60: no redshift; the network needs none: the mass stands" in alone
    masses = Table.read("alone.fits")
    assert np.isfinite(masses["log_mass"]).all()
    assert set(masses["flag"] & 4) == {4}
    # The columns and the unit are those of the model's configuration; an option says others.
    words = ["predict", "model", images, "--threads", 1, "--catalogue"]
    assert "RMSE [dex]" in said(*words, "named.fits", "--to", "named-m.fits", "--mass", "my_m500")
    unit = ["--mass", "MASS_500", "--mass-unit", "1e14 solMass"]
    assert "RMSE [dex]" in said(*words, "blind.fits", "--to", "blind-m.fits", *unit)
    assert np.array_equal(Table.read("blind-m.fits")["log_mass"], masses["log_mass"])


def changed(folder, made, what):
    """Write the page's files changed as a row of its table says; gives the options that `show` is then given."""
    table, images, unit = Table.read(made / "clusters.fits"), fits.getdata(made / "images.fits"), UNIT
    cube, catalogue = "images.fits", "clusters.fits"
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
        case "rows in another order than the images":
            table.reverse()
        case "bands in the reverse order of their energies in the header":
            edges = [0.25, 0.5, 1, 2, 4]
            header = fits.Header(
                {f"E_{which}{n + 1:02}": edges[n + (which == "MAX")] for n in range(4) for which in ("MIN", "MAX")}
            )
            fits.PrimaryHDU(images * np.array([1, 1, 1, 9], np.int32), header).writeto(folder / cube)
        case "one image less than rows":
            images = images[:-1]
        case "NaN in a pixel":
            images = images.astype(np.float32)
            images[3, 0, 0, 0] = np.nan
        case "a negative pixel":
            images[4, 0, 0, 0] = -1
        case "one band, `(cluster, height, width)`":
            images = images[..., 0]
        case "masses in `h-1 Msun`":
            table["MASS_500"], unit = table["MASS_500"] * 1e14, ()
            hdu = fits.BinTableHDU(table)
            hdu.columns["MASS_500"].unit = "h-1 Msun"
            hdu.writeto(folder / catalogue)
        case "masses in kg, no unit anywhere":
            table["MASS_500"], unit = table["MASS_500"] * 1e14 * 1.989e30, ()
        case "no column of masses, but `M200c`":
            table.rename_column("MASS_500", "M200c")
        case "masses as text":
            table["MASS_500"] = [f"{mass:.3f}" for mass in table["MASS_500"]]
        case "identifiers in `NAME`":
            table["ID"] = [f"X {number}" for number in table["ID"]]
            table.rename_column("ID", "NAME")
        case "two rows of one `ID`":
            table["ID"][1] = 0
        case "the clusters last, `(height, width, band, cluster)`":
            images = np.moveaxis(images, 0, 3)
        case "one cube a band, in extensions of one file":
            bands = [fits.ImageHDU(images[..., band]) for band in range(4)]
            fits.HDUList([fits.PrimaryHDU(), *bands]).writeto(folder / "images.fits")
        case "images that are no counts":
            images = images / 3.0
        case "images compressed with gzip":
            cube = "images.fits.gz"
        case "images in `numpy.save`'s npy":
            cube = "images.npy"
            np.save(folder / cube, images)
        case "images in an npz under `data`":
            cube = "images.npz"
            np.savez(folder / cube, data=images)
        case "redshifts as velocities in km/s":
            table["REDSHIFT"] *= 299792.458
        case "redshifts of -99":
            table["REDSHIFT"][::10] = -99
        case "a catalogue in CSV with semicolons":
            catalogue = "clusters.csv"
            table.write(folder / catalogue, delimiter=";", format="ascii.csv")
        case "a catalogue as VOTable":
            catalogue = "clusters.vot"
            table.write(folder / catalogue, format="votable")
        case "no redshifts at all":
            table.remove_column("REDSHIFT")
        case "a catalogue in CSV":
            catalogue = "clusters.csv"
        case "an edited file, not converted" | "rows of `redshift < 0.5`, stamped for all, not converted":
            fits.PrimaryHDU(images).writeto(folder / "images.fits")
            table.write(folder / "clusters.fits")
            choice = ColumnNames(mass_unit=unit[1])
            convert(folder / "images.fits", folder / catalogue, folder / "s", choice=choice, drop_invalid=True)
            edited = Table.read(folder / "s" / "catalogue.fits")
            if what == "an edited file, not converted":
                edited["M500c"] *= 1.1
            else:
                near = np.asarray(edited["z"]) < 0.5
                edited = edited[near]
                with fits.open(folder / "s" / "images.fits") as file:
                    some = fits.PrimaryHDU(file[0].data[near], file[0].header)
                some.writeto(folder / "s" / "images.fits", overwrite=True)
            edited.write(folder / "s" / "catalogue.fits", overwrite=True)
            return ["s"]
        case _:
            pytest.fail(f"no test makes {what!r}")
    if not (folder / cube).exists():
        fits.PrimaryHDU(images).writeto(folder / cube)
    if not (folder / catalogue).exists():
        table.write(folder / catalogue)
    return [cube, "--catalogue", catalogue, *unit]


@pytest.mark.parametrize(("what", "said"), ROWS)
def test_what_the_table_says_is_said(what, said, made, tmp_path, monkeypatch, caplog):
    words = changed(tmp_path, made, what)
    monkeypatch.chdir(tmp_path)
    code, out, err = type_here("show", *words, "--to", "page.html")
    quoted = re.fullmatch('"(.+)"', said)
    assert code == (0 if quoted or said == "taken" else 2), err
    assert said == "taken" or (quoted[1] if quoted else said) in out + err + caplog.text
    if said == "taken":
        assert not caplog.records
