"""Which columns are mass, redshift and identifier, in which unit, and what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from survey_files import CLUSTERS, SHAPE, Files, make_columns, make_counts, refused, write_lab_files

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import Catalogue, ColumnNames, masses
from clustersweep.survey.formats.all import convert, read_catalogue, read_source
from clustersweep.survey.source import read_header
from clustersweep.survey.spec import DataSpec


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("M500c", 0.0, "must be a positive mass in solar masses"),
        ("M500c", -1e14, "must be a positive mass in solar masses"),
        ("M500c", np.nan, "must be a positive mass in solar masses"),
        ("M500c", np.inf, "must be a positive mass in solar masses"),
        ("z", 0.0, "must be a redshift above 0 and at most 5"),
        ("z", -99.0, "must be a redshift above 0 and at most 5"),
        ("z", 7.0, "must be a redshift above 0 and at most 5"),
        ("z", np.nan, "must be a redshift above 0 and at most 5"),
    ],
)
def test_impossible_masses_and_redshifts_are_named_by_row(files: Files, name: str, value: float, rule: str) -> None:
    files.columns[name][3] = value
    message = refused(files.write("lab"), rule)
    assert f"c.f: {name} = {value:g} in row 3: {rule}. Remove these rows, and their images" in message


def test_all_bad_columns_are_told_at_once(files: Files) -> None:
    files.columns["M500c"][:7] = -1
    files.columns["z"][0] = -1
    message = refused(files.write("fits"), "-1 in row 4 and 2 more: must be a positive mass")
    assert "z = -1 in row 0" in message


@pytest.mark.parametrize(
    ("convert_mass", "cause", "unit"),
    [
        (
            np.log10,
            r"they look like log10 of solar masses. That is `mass_unit: dex\(solMass\)` in a study",
            "dex(solMass)",
        ),
        (
            lambda mass: mass / 1e14,
            r"M500c: nine in ten of the masses lie between \S+ and \S+ solMass, and a cluster of galaxies has 1e11 to "
            r"3e16 solar masses: they look like units of 1e14 solar masses\. That is `mass_unit: 1e14",
            "1e14 solMass",
        ),
        (
            lambda mass: mass * 2e30,
            r"of the masses lie between .* solMass, and a cluster of galaxies has 1e11 to 3e16 solar masses\. Check ",
            "5e-31 Msun",
        ),
    ],
)
@pytest.mark.parametrize("form", ["lab", "fits"])
def test_masses_in_other_units_are_refused_with_the_likely_cause_until_their_unit_is_said(
    files: Files, form: str, convert_mass: object, cause: str, unit: str
) -> None:
    true = np.log10(files.columns["M500c"])
    files.columns["M500c"] = convert_mass(files.columns["M500c"])  # type: ignore[operator]
    paths = files.write(form)
    refused(paths, cause)
    if form == "fits":
        with pytest.raises(DataError, match=cause):  # a plan, too, and a comparison
            read_header(DataSpec(images=paths[0], catalogue=paths[1]))
        with pytest.raises(DataError, match=cause):
            masses(read_catalogue(paths[1]), ColumnNames())
    if unit != "5e-31 Msun":
        assert np.allclose(read_source(*paths, ColumnNames(mass_unit=unit)).dataset.log_mass, true)


def test_a_few_masses_that_no_cluster_has_are_named_by_row(files: Files) -> None:
    files.columns["M500c"][4] = 3e9
    refused(
        files.write("fits"), r"M500c = 3e\+09 in row 4: is solMass and no mass of a cluster, which has 1e11 to 3e16"
    )


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("10**14 solMass", 1e14), ("1e14 Msun", 1e14), ("1e14 M_sun", 1e14), ("solMass", 1.0), ("Msun", 1.0), ("", 1.0)],
)
def test_the_unit_in_a_file_is_obeyed(files: Files, unit: str, scale: float) -> None:
    true = np.log10(files.columns["M500c"])
    images, catalogue = files.write("fits")
    table = Table(files.columns)
    table["M500c"] /= scale
    table.write(catalogue, overwrite=True)
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = unit
    assert np.allclose(read_source(images, catalogue, ColumnNames()).dataset.log_mass, true)


def test_a_logarithm_in_a_file_is_obeyed(files: Files) -> None:
    true = np.log10(files.columns["M500c"])
    files.columns["M500c"] = true
    images, catalogue = files.write("fits")
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = "dex(solMass)"
    assert np.array_equal(read_source(images, catalogue, ColumnNames()).dataset.log_mass, true)


def test_a_unit_that_is_none_of_mass_is_refused_or_in_a_file_told(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    images, catalogue = files.write("fits")
    refused(
        (images, catalogue), "mass_unit = keV: is no unit of mass. Units are written like", ColumnNames(mass_unit="keV")
    )
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = "M_500"
    read_source(images, catalogue, ColumnNames())
    assert "the unit of M500c is 'M_500', which is no known unit of mass: it is taken for solar masses" in caplog.text


def test_another_unit_of_the_same_numbers_is_another_data_set_and_the_usual_one_is_not(files: Files) -> None:
    images, catalogue = files.write("fits")
    usual = read_source(images, catalogue, ColumnNames()).dataset.digest
    assert read_source(images, catalogue, ColumnNames(mass_unit="solMass")).dataset.digest == usual
    assert read_source(images, catalogue, ColumnNames(mass_unit="2 solMass")).dataset.digest != usual


@pytest.mark.parametrize("name", ["REDSHIFT", "Z", "z_spec", "z_phot", "photo_z", "z_final"])
@pytest.mark.parametrize("mass", ["MASS_500", "mass", "m500C", "M500", "halo_m500c", "m500_wl_final"])
def test_usual_names_of_columns_are_known_in_any_case(files: Files, name: str, mass: str) -> None:
    files.columns[name], files.columns[mass] = files.columns.pop("z"), files.columns.pop("M500c")
    dataset = read_source(*files.write("npz"), ColumnNames()).dataset
    assert np.array_equal(dataset.redshift, files.columns[name])
    assert np.array_equal(dataset.log_mass, np.log10(files.columns[mass]))


def test_several_columns_that_may_be_meant_are_told_and_refused(files: Files) -> None:
    files.columns["z_spec"] = files.columns["z_phot"] = files.columns.pop("z")
    message = refused(
        files.write("fits"), "columns = z_spec, z_phot: each of them may be the redshift. Name the column"
    )
    assert "`--redshift`" in message
    assert (
        read_source(*files.write("fits"), ColumnNames(redshift="Z_SPEC")).dataset.redshift[0]
        == files.columns["z_spec"][0]
    )


def test_what_stands_where_a_redshift_should_is_told_when_it_is_taken_for_none(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.columns["z"][[1, 3, 5]] = np.nan, -99, 30000
    read_source(*files.write("fits"), ColumnNames(), needs_redshift=False)
    said = "z = -99 in row 3, 30000 in row 5: taken for no redshift, which is above 0 and at most 5"
    assert caplog.text.count(said) == 1


def test_what_is_dropped_for_want_of_a_redshift_is_told_with_what_stands_there(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.columns["z"] *= 299792.458
    with pytest.raises(DataError, match="z: holds no redshifts, .* nine in ten of its values lie between .*e.04 and"):
        convert(*files.write("fits"), files.folder / "survey", drop_invalid=True)
    assert f"z = {files.columns['z'][0]:g} in row 0" in caplog.text
    assert "and 7 more: taken for no redshift, which is above 0 and at most 5" in caplog.text


def test_a_unit_that_is_not_known_is_told_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    images, catalogue = files.write("fits")
    with fits.open(catalogue, mode="update") as hdus:
        hdus[1].header["TUNIT2"] = "h-1 Msun"
    read_source(images, catalogue, ColumnNames())
    assert caplog.text.count("the unit of M500c is 'h-1 Msun', which is no known unit of mass") == 1
    assert "Another one is `mass_unit: UNIT` in a study, `--mass-unit 'UNIT'` to a verb" in caplog.text
    assert "with h = 0.7, masses in Msun/h are in 1.42857 solMass" in caplog.text


def test_clusters_without_redshift_serve_networks_that_take_none(files: Files) -> None:
    files.columns["z"][[3, 5]] = np.nan, -99
    paths = files.write("fits")
    dataset = read_source(*paths, ColumnNames(), needs_redshift=False).dataset
    assert np.flatnonzero(np.isnan(dataset.redshift)).tolist() == [3, 5]
    spec = DataSpec(images=paths[0], catalogue=paths[1])
    assert read_header(spec, needs_redshift=False).clusters == CLUSTERS
    refused(paths, "z = nan in row 3, -99 in row 5")
    del files.columns["z"]
    paths = files.write("fits")
    assert np.isnan(read_source(*paths, ColumnNames(), needs_redshift=False).dataset.redshift).all()
    refused(paths, "no usual name of a redshift")


@pytest.mark.parametrize("form", ["lab", "npz", "fits"])
def test_a_catalogue_without_the_columns_lists_those_it_has(files: Files, form: str) -> None:
    files.columns["M_500cc"] = files.columns.pop("M500c")
    message = refused(files.write(form), r"no usual name of a mass \(M500c, M500, MASS_500, mass, .* in any case")
    assert "which has: SRC_ID_IN, z, M_500cc" in message
    assert "Did you mean `M_500cc`? Name the column with `mass:`" in message


def test_a_column_that_does_not_exist_suggests_the_nearest(files: Files) -> None:
    choice = ColumnNames(mass="M50Oc", redshift="zz", identifier="SRC_ID")
    message = refused(files.write("lab"), "c.f: M50Oc: is not a column of the catalogue, which has: SRC_ID_IN", choice)
    assert "Did you mean `M500c`? Name the column with `mass:`" in message
    assert "c.f: zz: is not a column" in message
    assert "Did you mean `SRC_ID_IN`? Name the column with `identifier:`" in message


@pytest.mark.parametrize("name", ["M200c", "m_200", "Mvir", "M2500"])
def test_a_mass_of_another_overdensity_is_never_suggested_for_m500c(files: Files, name: str) -> None:
    files.columns[name] = files.columns.pop("M500c")
    message = refused(files.write("npz"), "no usual name of a mass")
    assert "Did you mean" not in message
    assert f"`{name}` looks like a mass of another overdensity: M500c has to be computed from it" in message


def test_a_study_whose_networks_take_a_redshift_that_is_not_there_is_told_both_ways_out(files: Files) -> None:
    del files.columns["z"]
    message = refused(files.write("fits"), r"no usual name of a redshift \(z, REDSHIFT, z_spec, photo_z, ")
    assert "which has: SRC_ID_IN, M500c, and the network takes the redshift" in message
    assert "pair" not in message
    assert message.endswith("Name the column with `redshift:` in a study or configuration, `--redshift` on the command "
                            "line. Networks with `redshift: none` need none.")  # fmt: skip


def test_a_column_of_text_is_no_mass(files: Files) -> None:
    files.columns["Name"] = np.array(["a"] * CLUSTERS)
    refused(files.write("lab"), "Name.*holds text, and the mass must be a number", ColumnNames(mass="Name"))


def test_a_catalogue_without_rows_or_tables_is_refused(files: Files) -> None:
    images, catalogue = files.write("fits")
    Table({name: column[:0] for name, column in files.columns.items()}).write(catalogue, overwrite=True)
    refused((images, catalogue), "c.fits: has no rows")
    refused((images, images), "i.fits: holds no table")


@pytest.mark.parametrize(
    ("mass", "redshift"), [("M500c", "z"), ("m500_wl_final", "z_final"), ("HALO_M500c", "redshift_R")]
)
def test_each_known_pair_of_columns_is_found(tmp_path: Path, mass: str, redshift: str) -> None:
    columns = make_columns(mass=mass, redshift=redshift)
    source = read_source(*write_lab_files(tmp_path, make_counts(), columns), ColumnNames())
    assert np.array_equal(source.dataset.log_mass, np.log10(columns[mass]))
    assert np.array_equal(source.dataset.redshift, columns[redshift])


def test_the_user_can_name_the_columns(tmp_path: Path) -> None:
    columns = make_columns() | {"Mvir": np.full(SHAPE[0], 3e14), "zspec": np.full(SHAPE[0], 0.3)}
    files = write_lab_files(tmp_path, make_counts(), columns)
    chosen = read_source(*files, ColumnNames(mass="Mvir", redshift="zspec", identifier="Name")).dataset
    assert np.allclose(chosen.log_mass, np.log10(3e14))
    assert np.allclose(chosen.redshift, 0.3)
    assert chosen.identifiers[2] == "cluster 2"
    one = read_source(*files, ColumnNames(mass="Mvir")).dataset
    assert np.array_equal(one.redshift, columns["z"])


@pytest.mark.parametrize(("scale", "unit", "chosen"), [(1e14, "", None), (1, "", None), (1, "solMass", None),
                                                       (1e13, "", "1e13 solMass")])  # fmt: skip
def test_known_masses_are_in_the_unit_of_the_models_configuration_where_no_other_is_said_or_seen(scale, unit, chosen):
    usual = ColumnNames(mass="M", mass_unit="1e14 solMass")
    table = Catalogue("c", {"M": np.array([2e14, 5e14, 1e15]) / scale}, {"M": unit})
    found = masses(table, ColumnNames(mass_unit=chosen, usual=usual))
    assert found == pytest.approx(np.log10([2e14, 5e14, 1e15]))


def test_masses_are_read_without_redshifts_and_the_unknown_ones_are_nan():
    found = masses(Catalogue("c", {"M500c": np.array([1e14, np.nan, -1.0, 0.0, np.inf])}), ColumnNames())
    assert found[0] == 14
    assert np.isnan(found[1:]).all()
