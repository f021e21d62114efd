"""Opening the data of a study: the header for planning, the whole for training, simulated on demand.

The formats themselves are in their own modules, which are imported when used.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from clustersweep.errors import DataError, Problem
from clustersweep.survey.agreement import agreement, warn_of_suspicions
from clustersweep.survey.catalogue import ColumnNames, identifiers, labels
from clustersweep.survey.checks import check_axes, check_digest, check_rows
from clustersweep.survey.dataset import Dataset, Header, catalogue_digest, joint_digest, rebinned_shape
from clustersweep.survey.formats.files import CATALOGUE_FILE, IMAGES_FILE, kind_of, located, not_a_source
from clustersweep.survey.groups import groups_concern
from clustersweep.survey.simulator import tables
from clustersweep.survey.spec import DataSpec, SimulateSpec, SplitSpec

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def read_header(spec: DataSpec, *, needs_redshift: bool = True) -> Header:
    """Tell the number and shape of the images and, where the source names it, the digest; reads no pixel.

    Args:
        spec: The study's `data`.
        needs_redshift: Whether a network takes the redshift; where none does, clusters may lack it.

    Raises:
        DataError: The file is missing, damaged, or of a kind that a sweep does not read.
    """
    if spec.simulate is not None:
        shape = (spec.simulate.pixels, spec.simulate.pixels, len(tables.bands()))
        words = f"simulated: {spec.simulate.clusters} clusters, seed {spec.simulate.seed}"
        return Header(spec.simulate.clusters, rebinned_shape(shape, spec.rebin), spec.simulate.digest, words)
    images, catalogue = _files(spec)
    from clustersweep.survey.formats import (
        all as formats,  # brings in astropy, which a study of simulated data plans without
    )

    header = formats.read_images_header(images)
    table = formats.catalogue_of(
        images, catalogue
    )  # a few thousand rows; all but the pixels is checked before a launch
    check_axes(images, header.shape, len(table), len(header.bands_kev))
    choice = _column_names(spec)
    found = labels(table, choice, needs_redshift=needs_redshift)
    check_rows(images, header.identifiers, table, identifiers(table, choice, any_case=True)[0])
    if table.digest is not None:  # a selection that keeps its header keeps the stamp of the whole
        check_digest(str(catalogue), table.digest, catalogue_digest(table.columns))
    digest = joint_digest(header.digest, table.digest, found.decisive) if header.digest and table.digest else None
    clusters, height, width, bands = header.shape
    source = f"{images}: {found.text}" if catalogue == images else f"{images}; {catalogue}: {found.text}"
    return Header(clusters, rebinned_shape((height, width, bands), spec.rebin), digest, source)


def check_split(spec: DataSpec, split: SplitSpec) -> None:
    """Make sure, before anything is trained, that a split by identifier has identifiers; warn where it has no effect.

    Raises:
        DataError: The catalogue has no column that names the haloes, so rows of one halo would train and test.
    """
    if split.by != "identifier":
        return
    if spec.simulate is not None:
        log.warning("split by identifier: the clusters of a simulated survey are all different, so none are kept "
                    "together")  # fmt: skip
        return
    from clustersweep.survey.formats import all as formats  # astropy

    images, catalogue = _files(spec)
    table, own = formats.read_catalogue(catalogue), formats.read_images_header(images).identifiers
    if concern := groups_concern(table, _column_names(spec), own):
        log.warning("%s: %s", catalogue, concern)


def absent_file(spec: DataSpec) -> Path | None:
    """Return the first of a study's files that is not there, as where their disk is not mounted; None if all are."""
    if spec.images is None:
        return None
    if not _is_there(spec.images):
        return spec.images
    folder = spec.images if _is_folder(spec.images) else None
    files = [folder / IMAGES_FILE, spec.catalogue or folder / CATALOGUE_FILE] if folder else [spec.catalogue]
    return next((file for file in files if file is not None and not _is_there(file)), None)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        return False


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True  # whoever reads it says that it may not
    except OSError:  # also of a disk that is gone from under its folder
        return False
    return True


def open_dataset(
    spec: DataSpec,
    surveys: Path,
    progress: Progress | None = None,
    jobs: int = 1,
    *,
    needs_redshift: bool = True,
) -> Dataset:
    """Read, check and rebin the data of a study; simulate them first where the study says so.

    Of somebody's own files it logs what was taken for masses, and what makes images and catalogue look unlike a pair.

    Args:
        spec: The study's `data`.
        surveys: Folder of simulated surveys, each under the digest of its recipe.
        progress: Called with clusters done and their total while simulating.
        jobs: Processes to simulate with.
        needs_redshift: As for `read_header`.

    Raises:
        DataError: What is wrong, with the rows concerned.
    """
    from clustersweep.survey.formats import all as formats  # astropy

    if spec.simulate is not None:
        folder = simulated(spec.simulate, surveys, progress, jobs)
        try:
            dataset = formats.read_source(folder / IMAGES_FILE, folder / CATALOGUE_FILE, ColumnNames()).dataset
        except DataError as error:
            remedy = f"Remove {folder}, and it will be simulated again."
            raise DataError(replace(problem, remedy=remedy) for problem in error.problems) from error
        # The recipe names the survey before it exists, so that a plan and its launch agree.
        dataset = replace(dataset, digest=spec.simulate.digest)
    else:
        images, catalogue = _files(spec)
        source = formats.read_source(images, catalogue, _column_names(spec), needs_redshift=needs_redshift)
        dataset = source.dataset
        log.info("%s: %s", catalogue, source.labels.masses_text)
        warn_of_suspicions(agreement(dataset), images)
    return dataset.rebinned(spec.rebin)


def read_digest(spec: DataSpec, *, needs_redshift: bool = True) -> str:
    """Return the digest of somebody's own files that do not name it, for which they are read and checked.

    Nothing is logged of them: whoever trains opens them, too.

    Raises:
        DataError: What is wrong, with the rows concerned.
    """
    from clustersweep.survey.formats import all as formats  # astropy

    images, catalogue = _files(spec)
    source = formats.read_source(images, catalogue, _column_names(spec), needs_redshift=needs_redshift)
    return source.dataset.digest


def simulated(spec: SimulateSpec, surveys: Path, progress: Progress | None = None, jobs: int = 1) -> Path:
    """Return the folder of a simulated survey, which is made if it is not there yet."""
    from clustersweep.survey.simulator.simulate import write_survey  # the simulator needs scipy

    folder = surveys / spec.digest
    write_survey(spec, folder, jobs=jobs, progress=progress)
    return folder


def _column_names(spec: DataSpec) -> ColumnNames:
    return ColumnNames(spec.mass, spec.redshift, spec.identifier, spec.mass_unit)


def _files(spec: DataSpec) -> tuple[Path, Path]:
    """Return the files of images and catalogue; those of a sweep are FITS or npz, never a pickle."""
    if spec.images is None:
        raise DataError([Problem("data", "images", "", "is missing", "Give `images:` or `simulate:`.")])
    if spec.images.is_dir():
        return located(spec.images, spec.catalogue)
    kind = kind_of(spec.images)
    if kind not in ("fits", "npz"):
        raise not_a_source(spec.images, kind)
    if spec.catalogue is None and kind == "fits":
        rule = "is missing, and FITS images hold no masses"
        raise DataError([Problem("data", "catalogue", "", rule, "Name the catalogue's file.")])
    return spec.images, spec.catalogue or spec.images
