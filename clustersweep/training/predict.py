"""Masses of clusters from a trained model, block by block into a FITS table. Prints nothing.

The formats of images and tables are in `survey`, the networks in `ensemble`.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import DataError, Problem
from clustersweep.survey.dataset import CHUNK_BYTES
from clustersweep.survey.formats.files import written_beside
from clustersweep.survey.formats.fitstable import write_table
from clustersweep.survey.observations import Block, Observations
from clustersweep.training.evaluation.calibration import Calibration, calibration
from clustersweep.training.evaluation.metrics import Metrics, bootstrap, errors, metrics
from clustersweep.training.evaluation.results import Clusters, Predictions
from clustersweep.training.files.known_clusters import PARTS, TAUGHT, KnownClusters, Misnamed
from clustersweep.training.files.mass_table import OUTSIDE, Flag, MassTable
from clustersweep.training.files.trained_model import TrainedModel

if TYPE_CHECKING:  # which imports TensorFlow
    from clustersweep.training.ensemble import Ensemble

log = logging.getLogger(__name__)

Array = NDArray[Any]
Progress = Callable[[int, int], None]

SUFFIXES = (".fits", ".fit", ".fts")

_BAND_TOLERANCE_KEV = 1e-6
_WHOLE_IMAGES = 1000  # as many images of whole numbers are no smoothed ones


@dataclass
class Summary:
    """What was predicted, complete when the table is.

    Attributes:
        clusters: Rows of the table.
        device: What computed the masses, in words.
        log_mass: Lowest, median and highest; NaN where there is no mass.
        median_sd: Median of the recalibrated standard deviation, dex.
        without_mass: Rows without a mass, for want of a redshift.
        flagged: Rows with any flag.
        flags: Rows with each flag.
        predicted: log10 M500c of each cluster, `(cluster,)`; NaN without a mass.
        sd: Its recalibrated standard deviation, dex, `(cluster,)`.
        parts: Rows of each of the model's parts; None where the model does not say which clusters it was made with.
        taught: Whether a cluster is of the training or the validation part, `(cluster,)`.
        outside: Whether its redshift or counts lie outside what the model was trained on (flags 1 and 2), `(cluster,)`.
    """

    clusters: int
    device: str = ""
    log_mass: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    median_sd: float = np.nan
    without_mass: int = 0
    flagged: int = 0
    flags: Counter[Flag] = field(default_factory=Counter)
    predicted: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    sd: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    parts: Counter[str] | None = None
    taught: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_), repr=False)
    outside: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_), repr=False)


def predict(
    model: TrainedModel,
    digest: str,
    source: Observations,
    to: Path,
    *,
    threads: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
    known: KnownClusters | None = None,
) -> Summary:
    """Write the masses of all clusters as a FITS table, which appears when it is complete.

    Memory does not grow with the number of images, and the numbers do not depend on how their file is cut up.

    Args:
        model: The model.
        digest: The model's digest, for the header.
        source: The clusters.
        to: The table, `.fits`.
        threads: Threads for TensorFlow; None: what it has, one for each CPU where nothing else was chosen.
        device: What computes: `cpu`, `gpu`, or `auto`: a GPU where TensorFlow sees one.
        overwrite: Whether to replace a file that is there already.
        progress: Called with clusters done and their total.
        known: The clusters that the model was made with: rows that are among them are marked.

    Raises:
        DataError: The images are not of the kind that the model was trained on, or `to` cannot be written.
    """
    _require_place(to, source, overwrite=overwrite)
    _require_kin(model, source)
    # After the checks: TensorFlow takes seconds to import.
    from clustersweep.training.device import choose_device, device_in_use
    from clustersweep.training.engine import VALIDATION_BATCH
    from clustersweep.training.ensemble import Ensemble

    if threads is not None or device != "auto":
        choose_device(device, threads)
    ensemble = Ensemble.of(model)
    # Whole batches: which clusters share a batch decides the last bits, and must not depend on the file.
    batches = max(1, CHUNK_BYTES // (VALIDATION_BATCH * int(np.prod(model.image_shape)) * 8))
    blocks = source.blocks(VALIDATION_BATCH * batches, model.rebin)
    summary, table = Summary(len(source), str(device_in_use("float32"))), MassTable(model, digest, source, known)
    summary.parts = None if known is None else Counter()
    with written_beside(to) as beside:
        write_table(
            beside,
            table.columns(),
            len(source),
            _pieces(
                model, table, ensemble, _of_one_transform(blocks, model, source), summary=summary, progress=progress
            ),
            name="MASSES",
            notes=lambda: table.notes(summary.flagged, summary.flags, summary.parts or Counter()),
            comments=[*table.comments(), f"Computed on {summary.device.encode('ascii', 'replace').decode()}."],
        )
        _check_names(table.misnamed(), source)
    if taught := int(summary.taught.sum()):
        rule = f"{taught:,} of {len(source):,} clusters are of the model's own training and validation parts, and their"
        remedy = "Judge the model by those whose `part` is test or empty"
        log.warning("%s: %s masses look better than those of others. %s", source.images, rule, remedy)
    return summary


def predict_arrays(
    model: TrainedModel,
    digest: str,
    images: Array,
    redshift: NDArray[np.float64] | None,
    *,
    known: KnownClusters | None = None,
) -> Mapping[str, Array]:
    """Return the columns of the table that `predict` writes, of images in memory, with the same numbers.

    Args:
        model: The model.
        digest: The model's digest.
        images: `(cluster, height, width, band)`, not rebinned.
        redshift: `(cluster,)`, NaN where it is not known; None where the network takes none.
        known: The clusters that the model was made with.

    Raises:
        DataError: The images are not of the kind that the model was trained on.
    """
    source = Observations(
        images=Path("images"), catalogue=None, shape=images.shape, bands_kev=model.bands_kev,
        identifiers=np.arange(len(images)), redshift=redshift, digest=None, _read=lambda: iter([images]),
    )  # fmt: skip
    _require_kin(model, source)
    from clustersweep.training.engine import VALIDATION_BATCH
    from clustersweep.training.ensemble import Ensemble

    table, summary = MassTable(model, digest, source, known), Summary(len(source))
    summary.parts = None if known is None else Counter()
    blocks = _of_one_transform(source.blocks(VALIDATION_BATCH, model.rebin), model, source)
    pieces = list(_pieces(model, table, Ensemble.of(model), blocks, summary=summary, progress=None))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _pieces(
    model: TrainedModel,
    table: MassTable,
    ensemble: "Ensemble",
    blocks: Iterator[Block],
    *,
    summary: Summary,
    progress: Progress | None,
) -> Iterator[Mapping[str, Array]]:
    """Yield the table's rows, and fill in the summary."""
    masses, spreads = np.empty(summary.clusters), np.empty(summary.clusters)
    summary.taught, summary.outside = np.zeros((2, summary.clusters), np.bool_)
    start = 0
    for block in blocks:
        rows = slice(start, start + len(block.images))
        start = rows.stop
        redshift = table.redshift(rows)
        said = ensemble(block.images, np.zeros(len(block.images)) if redshift is None else redshift)
        piece = table.rows(rows, block.images, said)
        masses[rows], spreads[rows] = piece["log_mass"], piece["log_mass_sd"]
        summary.outside[rows] = piece["flag"] & OUTSIDE != 0
        summary.flagged += int((piece["flag"] != 0).sum())
        summary.flags.update({flag: int((piece["flag"] & flag != 0).sum()) for flag in Flag})
        if summary.parts is not None:
            summary.parts.update({part: int((piece["part"] == part.encode()).sum()) for part in PARTS})
            summary.taught[rows] = np.isin(piece["part"], [part.encode() for part in TAUGHT])
        yield piece
        if progress:
            progress(start, summary.clusters)
    summary.predicted, summary.sd = masses, spreads
    good = np.isfinite(masses)
    summary.without_mass = int((~good).sum())
    if good.any():
        low, median, high = np.quantile(masses[good], [0, 0.5, 1]).tolist()
        summary.log_mass, summary.median_sd = (low, median, high), float(np.median(spreads[good]))


@dataclass(frozen=True)
class Comparison:
    """What was predicted against what is known.

    Attributes:
        metrics: Errors.
        before: Honesty of the standard deviations as the networks gave them.
        after: The same of the recalibrated ones.
        outside: How many of the clusters lie outside what the model was trained on (flags 1 and 2).
        rmse_inside: RMSE of the others, dex; NaN where there are none.
    """

    metrics: Metrics
    before: Calibration
    after: Calibration
    outside: int = 0
    rmse_inside: float = math.nan


def compare(summary: Summary, log_mass: NDArray[np.float64], recalibration: float) -> Comparison | None:
    """Measure the clusters whose mass is both known and predicted; None where there are none.

    Those of the model's training and validation parts are left out.

    Args:
        summary: What `predict` gave.
        log_mass: True log10 M500c in solar masses, `(cluster,)`; NaN where it is not known.
        recalibration: The factor that is in the standard deviations.
    """
    good = np.isfinite(summary.predicted) & np.isfinite(log_mass)
    if len(summary.taught):
        good &= ~summary.taught
    if not good.any():
        return None
    unknown = np.full(int(good.sum()), np.nan)
    predictions = Predictions(
        Clusters(log_mass[good], unknown, unknown, unknown), summary.predicted[good], summary.sd[good]
    )
    found = bootstrap(len(unknown), errors(predictions, 1.0), seed=0, resamples=1000)
    outside = summary.outside[good] if len(summary.outside) else np.zeros(len(unknown), np.bool_)
    inside = (predictions.predicted - predictions.clusters.log_mass)[~outside]
    return Comparison(
        metrics(len(unknown), found),
        calibration(predictions, 1 / recalibration),
        calibration(predictions, 1.0),
        int(outside.sum()),
        math.sqrt(float(np.mean(inside**2))) if inside.size else math.nan,
    )


def _check_names(found: Misnamed | None, source: Observations) -> None:
    """Refuse a catalogue whose rows stand beside other clusters' images; warn where it may only count otherwise.

    The redshifts of such rows, and so the masses, would be those of other clusters.
    """
    if found is None:
        return
    column, where = source.identifier, str(source.catalogue)
    if found.sure:
        rule = f"the model knows the image of this row from its training, as {found.was}. So it is with {found.rows:,} "
        rule += f"of {found.known:,} such rows: the rows are in another order than the images"
        remedy = f"Sort the catalogue in the order of the images. If {column} is not what named the clusters of the "
        remedy += "training, name another column with --identifier."
        raise DataError([Problem(where, column, f"{found.own} in row {found.first}", rule, remedy)])
    text = "%s: %s of %s images that the model knows from its training stand beside another cluster's name (row %s is "
    text += (
        "%s, and was %s): are the rows of the catalogue in the order of the images? This is not refused, as some of "
    )
    text += "their names are not in this catalogue, and it may count otherwise than the training's did"
    log.warning(text, where, found.rows, found.known, found.first, found.own, found.was)


def _require_place(to: Path, source: Observations, *, overwrite: bool) -> None:
    """Refuse to write where something precious is."""
    inputs = [path.resolve() for path in (source.images, source.catalogue) if path is not None]
    problem = None
    if to.is_dir():
        problem = Problem(str(to), "", "", "is a folder", f"Give a file, e.g. {to / 'masses.fits'}.")
    elif to.suffix.lower() not in SUFFIXES:
        remedy = f"Give a name like {to.with_suffix('.fits')}."
        problem = Problem(str(to), "", "", "must end in .fits, as what is written is a FITS table", remedy)
    elif to.resolve() in inputs:
        problem = Problem(str(to), "", "", "is a file that is read", "Write to another file.")
    elif to.exists() and not overwrite:
        problem = Problem(str(to), "", "", "is there already", "Write to another file, or replace it with --force.")
    if problem is not None:
        raise DataError([problem])


def _require_kin(model: TrainedModel, source: Observations) -> None:
    """Refuse images of another shape, or of other bands, than those of the training."""
    where = str(source.images)
    height, width, bands = model.image_shape
    expected = height * model.rebin, width * model.rebin, bands
    remedy = "Give images made as those that the model was trained on."
    if source.shape[1:] != expected:
        rule = f"the model takes {_pixels(expected)}"
        if model.rebin > 1:
            rule += f", and adds up squares of {model.rebin} x {model.rebin} pixels itself"
        if source.shape[1:] == model.image_shape:
            remedy = "These are added up already: give the images before that."
        raise DataError([Problem(where, "shape", _pixels(source.shape[1:]), rule, remedy)])
    if not model.bands_kev:
        return
    if not source.bands_kev:
        log.warning("%s: does not name its bands; they must be the model's, %s", where, _edges(*model.bands_kev))
        return
    apart = _apart(source.bands_kev, model.bands_kev)
    if apart.any():
        band = int(np.argmax(apart))
        same = not _apart(tuple(sorted(source.bands_kev)), tuple(sorted(model.bands_kev))).any()
        rule = "the model's bands are these in another order" if same else "the model was trained on other bands"
        rule += f": its band {band + 1} is {_edges(model.bands_kev[band])}"
        raise DataError([Problem(where, f"band {band + 1}", _edges(source.bands_kev[band]), rule, remedy)])


def _of_one_transform(blocks: Iterator[Block], model: TrainedModel, source: Observations) -> Iterator[Block]:
    """Pass on images of the training's transform; refuse counts where those were smoothed, and the reverse."""
    where, start, fractions = str(source.images), 0, False
    looked_at = min(_WHOLE_IMAGES, len(source))
    for block in blocks:
        if model.is_counts and not block.whole.all():
            value = f"fractions in cluster {start + int(np.argmin(block.whole))}"
            rule = "the model was trained on whole counts, and these have another transform: smoothed, or already "
            rule += "transformed"
            raise DataError([Problem(where, "images", value, rule, "Give the counts themselves.")])
        fractions = fractions or not block.whole[: max(0, looked_at - start)].all()
        start += len(block.whole)
        if not model.is_counts and not fractions and start >= looked_at:
            value = f"whole numbers in all of the first {looked_at:,}"
            rule = "the model was trained on images that are no whole counts, and these have another transform"
            raise DataError([Problem(where, "images", value, rule, "Treat them as those of the training were.")])
        yield block


def _apart(one: tuple[tuple[float, float], ...], other: tuple[tuple[float, float], ...]) -> NDArray[np.bool_]:
    """Tell which bands differ, `(band,)`."""
    same: NDArray[np.bool_] = np.abs(np.subtract(one, other)).max(axis=1) <= _BAND_TOLERANCE_KEV
    return ~same


def _pixels(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]} pixels x {shape[2]} bands"


def _edges(*bands_kev: tuple[float, float]) -> str:
    return f"{bands_kev[0][0]:g} to {bands_kev[-1][1]:g} keV"
