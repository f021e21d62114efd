"""The table of masses: its columns, units, flags and what its header says of them."""

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import QTable, Table
from observed import CLUSTERS, columns, counts, opened, refused, whole, write_fits, write_npz
from small_model import BANDS, small_model

from clustersweep.survey.dataset import images_digest
from clustersweep.training.files.mass_table import Flag, MassTable
from clustersweep.training.network import NetworkSpec
from clustersweep.training.predict import predict

integration = pytest.mark.integration


@integration
def test_units_descriptions_and_provenance_are_in_the_header(tmp_path, trained):
    model, folder = trained(), write_fits(tmp_path / "s", counts(), columns())
    predict(model, "cafe0123cafe0123", opened(folder), tmp_path / "m.fits")
    read = QTable.read(tmp_path / "m.fits")  # warns, which is an error here, of units that FITS does not have
    for name in ("M500c", "M500c_lower", "M500c_upper"):
        assert read[name].unit == units.solMass
    assert read["counts"].unit == units.ct
    assert read["flag"].dtype.kind == "i"
    with fits.open(tmp_path / "m.fits") as hdus:
        hdus.verify("exception")
        header = hdus[1].header
        names = hdus[1].columns.names
    assert names == ["identifier", "redshift", "log_mass", "log_mass_sd", "log_mass_sd_raw", "log_mass_seed_sd",
                     "M500c", "M500c_lower", "M500c_upper", "counts", "flag"]  # fmt: skip
    assert all(header[f"TCOMM{number}"] for number in range(1, len(names) + 1))
    assert header["TCOMM3"] == "log10 of M500c in solar masses"
    assert header["EXTNAME"] == "MASSES"
    assert header["ORIGIN"] == "clustersweep predict"
    assert header["CREATOR"].startswith("clustersweep ")
    assert header["MODEL"] == "cafe0123cafe0123"
    assert header["TRAINED"] == "0123456789abcdef"
    assert header["IMAGES"] == images_digest(counts())
    assert header["SEEDS"] == "0 7"
    assert header["RECALIB"] == 1.25
    assert header["DATE"].startswith("20")
    assert 'redshift="head"' in header["NETWORK"]
    assert (header["ZMIN"], header["ZMAX"], header["CTSMIN"], header["CTSMAX"]) == (0.1, 0.8, 300.0, 2000.0)
    comments = "\n".join(header["COMMENT"])
    assert "flag 1: redshift outside the training part's, 0.1 to 0.8" in comments
    assert "flag 2: counts outside the training part's, 300 to 2000" in comments
    assert "flag 4: no redshift, hence no mass" in comments


@integration
@pytest.mark.parametrize("takes", ["head", "none"])
def test_each_row_is_flagged_for_what_is_doubtful_about_it(tmp_path, trained, takes):
    images, table = counts(), columns()
    images[4], images[5] = 0, 200
    table["z"][:4] = [0.95, np.nan, -99.0, 99.0]
    table["z"][5] = 0.01
    network = NetworkSpec(filters=2, redshift=takes)
    model = trained(network=network)
    summary = predict(model, "d", opened(write_fits(tmp_path / "s", images, table)), tmp_path / "m.fits")
    read = Table.read(tmp_path / "m.fits", mask_invalid=False)
    sums = images.sum(axis=(1, 2, 3), dtype=int)
    expected = np.where((sums < 300) | (sums > 2000), 2, 0)
    expected[[0, 5]] += 1 if takes == "head" else 0  # else the redshift's range says nothing of the mass
    expected[1:4] += 4
    assert read["flag"].tolist() == expected.tolist()
    assert np.flatnonzero(np.isnan(read["redshift"])).tolist() == [1, 2, 3]
    unknown = [1, 2, 3] if takes == "head" else []
    for name in (
        "log_mass",
        "log_mass_sd",
        "log_mass_sd_raw",
        "log_mass_seed_sd",
        "M500c",
        "M500c_lower",
        "M500c_upper",
    ):
        assert np.flatnonzero(np.isnan(read[name])).tolist() == unknown
    good = np.isfinite(read["log_mass"])
    said = whole(model, images, np.where(good, table["z"], 0.0) if takes == "head" else np.zeros(CLUSTERS))
    assert np.array_equal(read["log_mass"][good], said.log_mass[good])
    header = fits.getheader(tmp_path / "m.fits", 1)
    flags = {flag: int(((expected & flag) != 0).sum()) for flag in Flag}
    raised = list(Flag) if takes == "head" else [Flag.COUNTS, Flag.NO_REDSHIFT]
    assert [header[f"NFLAG{flag.value}"] for flag in raised] == [flags[flag] for flag in raised]
    assert ("NFLAG1" in header) == ("flag 1:" in str(header["COMMENT"])) == (takes == "head")
    said = ", hence no mass" if takes == "head" else "; the network needs none: the mass stands"
    assert f"flag 4: no redshift{said}" in str(header["COMMENT"])
    assert ("ZMIN" in header) == ("ZMAX" in header) == (takes == "head")  # what it took no redshift of has no range
    assert header["NFLAG"] == summary.flagged == (expected != 0).sum()
    assert dict(summary.flags) == flags
    assert summary.without_mass == len(unknown)


@integration
def test_identifiers_of_every_kind_come_through(tmp_path, trained):
    model, images = trained(), counts(6)
    names = np.array(["a", "Abell 1689", "ngc", "é", "", "z"])
    for identifiers in (names, np.array([1.5, 2, 3, 4, 5, 6]), np.arange(6, dtype=np.uint8)[::-1]):
        np.savez(tmp_path / "i.npz", images=images, z=np.full(6, 0.3), Name=identifiers, bands_kev=np.array(BANDS))
        predict(model, "d", opened(tmp_path / "i.npz"), tmp_path / "m.fits", overwrite=True)
        read = Table.read(tmp_path / "m.fits")["identifier"]
        found = [v.decode() if isinstance(v, bytes) else v for v in read.tolist()]
        assert found == identifiers.tolist()


@pytest.mark.parametrize("digest", ["gréén\nx", "", "0" * 65, "a\x1bb"])
def test_images_whose_own_digest_is_none_are_refused_before_it_stands_in_a_header(tmp_path, digest):
    with np.load(write_npz(tmp_path / "whole.npz", counts(5), columns(5))) as whole_:
        content = dict(whole_)
    np.savez(tmp_path / "i.npz", **content | {"digests": np.array([digest, content["digests"][1]])})
    match = "i.npz: digest.*: is no digest, which has 16 hexadecimal digits: the file was altered. Copy the file"
    source = opened(tmp_path / "i.npz")
    assert refused(match, MassTable, small_model(), "d", source).isprintable()


def test_identifiers_from_2_to_the_63_are_told_as_they_are(tmp_path):
    table = columns(8)
    table["SRC_ID_IN"] = np.arange(8, dtype=np.uint64) + np.uint64(2**63)
    source = opened(write_fits(tmp_path / "s", counts(8), table))
    written = MassTable(small_model(), "d", source)
    assert next(column for column in written.columns() if column.name == "identifier").dtype.kind == "S"
    assert source.identifiers.tolist() == [2**63 + number for number in range(8)]
