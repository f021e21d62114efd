"""Files on disk: every kind is known by its first bytes, and what cannot be read or written says why."""

import gzip
import os
from pathlib import Path

import pytest
from survey_files import Files, make_columns, make_counts, refused, same, write_lab_files

from clustersweep.errors import DataError
from clustersweep.survey.catalogue import ColumnNames
from clustersweep.survey.formats.all import convert, read_source
from clustersweep.survey.formats.files import located


@pytest.mark.parametrize("form", ["lab", "npz", "fits"])
@pytest.mark.parametrize("which", [0, 1], ids=["images", "catalogue"])
def test_a_missing_empty_truncated_or_compressed_file_says_so(files: Files, form: str, which: int) -> None:
    paths = files.write(form)
    path = paths[which]
    whole = path.read_bytes()

    path.write_bytes(b"")
    refused(paths, rf"{path.name}: size = 0 bytes: is empty. Copy the file again")
    path.write_bytes(gzip.compress(whole))
    refused(paths, rf"{path.name}: is compressed with gzip.* Decompress it once: gunzip {path.name}")
    for share in (0.3, 0.5, 0.67):  # within headers and within data; the last block is mostly padding
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(paths, rf"{path.name}.*: (is truncated|cannot be read|is damaged or truncated).* Copy the file again")
    path.write_bytes(b"not astronomy at all")
    refused(paths, rf"{path.name}: is not FITS, npz, feather or pickle; it begins with")
    path.unlink()
    refused(paths, rf"{path.name}: there is no such file. Check the path")
    path.mkdir()
    refused(paths, rf"{path.name}: is a folder, and a file is expected")


def test_tables_of_text_that_are_no_csv_are_told_how_to_become_one(files: Files) -> None:
    images, _ = files.write("fits")
    for name, text in (("c.txt", "# M500c z\n"), ("c.vot", "<?xml version='1.0'?>"), ("c.tsv", "M500c\tz\n")):
        (files.folder / name).write_text(text)
        message = refused((images, files.folder / name), "is not FITS, npz, feather or pickle")
        assert "nor CSV or ECSV, which are known by their names' ends" in message
        assert f"a catalogue becomes FITS by astropy's Table.read('{files.folder / name}', format=...)" in message
    (files.folder / "c.csv").write_text("M500c;z\n1e14;0.2\n")
    message = refused((images, files.folder / "c.csv"), "columns = M500c;z: are separated by ';'")
    assert message.endswith("Write one line of column names, then one line for each cluster, with commas between.")


def test_where_nothing_can_be_written_the_remedy_is_not_to_free_space(files: Files) -> None:
    with pytest.raises(DataError, match="cannot be written .*Write to another folder, or make this one writable") as e:
        convert(*files.write("lab"), files.folder / "i.pickle" / "survey")
    assert "MiB are free" not in str(e.value)


def test_images_without_a_catalogue_say_so_and_a_folder_or_an_npz_has_its_own(files: Files) -> None:
    images, catalogue = files.write("lab")
    with pytest.raises(
        DataError, match=r"i\.pickle: needs a catalogue: only an npz file holds its own.*too: --catalogue FILE"
    ):
        convert(images, None, files.folder / "survey")
    dataset = convert(images, catalogue, files.folder / "survey")
    again = convert(files.folder / "survey", None, files.folder / "s.npz")
    assert again.digest == dataset.digest == convert(files.folder / "s.npz", None, files.folder / "t").digest


@pytest.mark.parametrize("name", ["survey", "survey.npz"])
def test_what_a_killed_conversion_of_the_same_process_number_left_is_in_no_survey(tmp_path: Path, name: str) -> None:
    lab = write_lab_files(tmp_path, make_counts(), make_columns())
    left = tmp_path / f".{name}.partial-{os.getpid()}"  # in a container every process has the same number
    left.mkdir()
    (left / "half.fits").write_bytes(b"half")
    same(convert(*lab, tmp_path / name), read_source(*located(tmp_path / name), ColumnNames()).dataset)
    assert not left.exists()
    assert not list(tmp_path.rglob("half.fits"))


def test_the_catalogue_of_a_survey_is_found_beside_its_images(tmp_path: Path) -> None:
    convert(*write_lab_files(tmp_path, make_counts(), make_columns()), tmp_path / "survey")
    folder = tmp_path / "survey"
    assert located(folder / "images.fits") == (folder / "images.fits", folder / "catalogue.fits")
