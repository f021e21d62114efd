"""Models: trained from a configuration, read from their folder, and used on arrays, as the verbs do it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustersweep.api.places import home_of
from clustersweep.display.values import Shown
from clustersweep.errors import DataError, Problem
from clustersweep.words import counted

if TYPE_CHECKING:
    from astropy.table import QTable
    from rich.console import Console

    from clustersweep.survey.catalogue import ColumnNames
    from clustersweep.training.evaluation.evaluation import Evaluation
    from clustersweep.training.files.known_clusters import KnownClusters
    from clustersweep.training.files.trained_model import TrainedModel
    from clustersweep.training.network import NetworkSpec
    from clustersweep.training.predict import Comparison, Summary
    from clustersweep.training.stages import TrainingEvent

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Trained(Shown):
    """What a training came to; it shows what the model is worth, measured on the test part.

    Attributes:
        folder: The model's; `load_model` reads it.
        network: Its architecture.
        evaluation: How good it is: errors with their intervals, baselines, calibration.
        failed: Why seeds failed, by seed.
        report: The HTML report.
        no_png: Why there are no PNG files beside it; empty where there are.
    """

    folder: Path
    network: "NetworkSpec"
    evaluation: "Evaluation"
    failed: dict[int, str]
    report: Path
    no_png: str

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep train` does."""
        from clustersweep.display.training_progress import print_training

        print_training(self.evaluation, out)
        for seed, why in self.failed.items():
            out.out(f"seed {seed} failed: {why}", highlight=False)


def train(
    configuration: Path | str,
    to: Path | str = "model",
    *,
    threads: int | None = None,
    device: str = "auto",
    home: Path | str | None = None,
    on_event: "Callable[[TrainingEvent], None] | None" = None,
) -> Trained:
    """Train the final model: every stage, one network for each seed, measured once on the test part.

    Args:
        configuration: The file that `export` wrote, or a recipe such as `sweeps/naive.yaml`.
        to: The model's folder; the same again goes on where it stopped.
        threads: Threads to use; None: one for each CPU, or what TensorFlow has, where this process used it before.
            Another number may change the last digits.
        device: What computes: `cpu`, `gpu`, or `auto`: a GPU where TensorFlow sees one.
        home: Folder of the simulated surveys; None: `CLUSTERSWEEP_HOME`, else the user's own.
        on_event: Called with every event of the training.

    Raises:
        ClusterSweepError: See its tree; what is finished is kept in every case.
        KeyboardInterrupt: It was interrupted; what ran is checkpointed, and the same call goes on from there.
    """
    from clustersweep.display.training_progress import training_display
    from clustersweep.masses.train import train_model

    watcher = training_display(on_event)
    done = train_model(Path(configuration), Path(to), home_of(home), threads, watcher, device=device)
    if done is None:
        raise KeyboardInterrupt
    return Trained(
        Path(to), done.run.model.network, done.run.evaluation, dict(done.run.failed), done.report, done.no_png
    )


@dataclass(frozen=True, repr=False)
class Masses(Shown):
    """Masses of some clusters.

    Attributes:
        log_mass: log10 M500c in solar masses, `(cluster,)`; NaN where the network takes the redshift and there is none.
        log_mass_sd: Its standard deviation, dex, recalibrated as the command line's is, `(cluster,)`.
        flag: 0, or the sum of what makes a prediction doubtful: 1 the redshift and 2 the counts lie outside what the
            model was trained on, 4 there is no redshift; `(cluster,)`.
        part: Of the model's own training that a cluster was in (`train`, `validation`, `test`), else empty,
            `(cluster,)`; None where the model does not say which clusters it was made with.
    """

    log_mass: Floats
    log_mass_sd: Floats
    flag: NDArray[np.int32]
    part: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.log_mass)

    def table(self) -> "QTable":
        """Return a table, one row a cluster, the masses also in solar masses."""
        from astropy import units
        from astropy.table import QTable

        made = QTable({"log_mass": self.log_mass, "log_mass_sd": self.log_mass_sd})
        made["M500c"] = 10**self.log_mass * units.solMass
        made["flag"] = self.flag
        if self.part is not None:
            made["part"] = self.part
        return made

    def show(self, out: "Console") -> None:
        """Print how many there are, and their range."""
        good = np.isfinite(self.log_mass)
        flagged = int((self.flag != 0).sum())
        text = f"{counted(len(self), 'cluster')}, {flagged:,} flagged"
        if good.any():
            low, median, high = np.quantile(self.log_mass[good], [0, 0.5, 1])
            text += f"; log10 M500c / Msun {low:.2f} to {high:.2f}, median {median:.2f}, "
            text += f"median uncertainty {np.median(self.log_mass_sd[good]):.3f} dex"
        out.print(text, highlight=False, soft_wrap=True)


@dataclass(frozen=True, repr=False)
class Model(Shown):
    """A trained model.

    Attributes:
        trained: What was read: the network, the weights of each seed, the scaling, the recalibration.
        digest: The model's.
        known: The clusters that it was made with; None where it does not say.
    """

    trained: "TrainedModel"
    digest: str
    known: "KnownClusters | None" = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, band)` of the images that it takes."""
        height, width, bands = self.trained.image_shape
        return height * self.trained.rebin, width * self.trained.rebin, bands

    @property
    def takes_redshift(self) -> bool:
        """Say whether its network takes the redshift."""
        return self.trained.network.redshift != "none"

    def predict(self, images: ArrayLike, redshift: ArrayLike | None = None) -> Masses:
        """Predict masses, with the numbers that `clustersweep predict` gives for the same images.

        Args:
            images: `(cluster, height, width, band)` as those of the training were, before any rebinning, the bands in
                their order. Counts for a model that was trained on counts.
            redshift: `(cluster,)`; NaN where it is not known.

        Raises:
            DataError: The images are not of the kind that the model was trained on; redshifts are missing, or not as
                many as images.
        """
        from clustersweep.training.predict import predict_arrays

        pixels = np.asarray(images)
        redshifts = None if redshift is None else np.asarray(redshift, np.float64)
        self._require(pixels, redshifts)
        found = predict_arrays(self.trained, self.digest, pixels, redshifts, known=self.known)
        part = None if self.known is None else np.char.decode(found["part"])
        return Masses(found["log_mass"], found["log_mass_sd"], found["flag"], part)

    def _require(self, images: NDArray[Any], redshift: Floats | None) -> None:
        shape = " x ".join(map(str, images.shape))
        if images.ndim != 4 or images.dtype.kind not in "uif" or not len(images):
            rule = "must be numbers of the shape (cluster, height, width, band), with at least one cluster"
            remedy = "Give a single image as `image[np.newaxis]`."
            raise DataError([Problem("predict", "images", f"{shape} of {images.dtype}", rule, remedy)])
        if redshift is None and self.takes_redshift:
            rule, remedy = "is needed: the model's network takes the redshift", "Give `predict(images, redshift)`."
            raise DataError([Problem("predict", "redshift", "None", rule, remedy)])
        if redshift is not None and redshift.shape != (len(images),):
            rule = f"must be one for each of the {len(images):,} images"
            remedy = "Give an array of the shape (cluster,)."
            raise DataError([Problem("predict", "redshift", f"shape {redshift.shape}", rule, remedy)])

    def show(self, out: "Console") -> None:
        """Print what it is."""
        network = self.trained.network
        height, width, bands = self.image_shape
        out.out(
            f"model {self.digest}: {len(self.trained.members)} networks of {network.conv_blocks} blocks, "
            f"{network.filters} filters, {network.kernel_size} x {network.kernel_size}; images of {height} x {width} "
            f"pixels x {bands} bands; redshift: {network.redshift}",
            highlight=False,
        )  # fmt: skip


def load_model(folder: Path | str) -> Model:
    """Read a model's folder, which `train` wrote. Nothing in it is run.

    Raises:
        ModelError: It is incomplete, altered or no model's.
    """
    from clustersweep.training.files.model_folder import read_clusters, read_model

    trained, digest = read_model(Path(folder))
    return Model(trained, digest, read_clusters(Path(folder)))


@dataclass(frozen=True, repr=False)
class Predicted(Shown):
    """A table of masses that was written; it shows their range, and how good they are where they are known.

    Attributes:
        table: The FITS table.
        model: The model.
        summary: Masses, standard deviations and what is doubtful, of all rows.
        compared: Whether known masses were named.
        comparison: How good the masses are where they are known; None where none is.
    """

    table: Path
    model: Model
    summary: "Summary"
    compared: bool
    comparison: "Comparison | None"

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep predict` does."""
        from clustersweep.display.prediction import print_comparison, print_summary

        out.out(f"{self.table}: {self.summary.clusters:,} clusters, model {self.model.digest}", highlight=False)
        print_summary(self.summary, self.model.trained, out)
        if self.compared:
            print_comparison(self.summary, self.comparison, out)


def predict(
    model: Path | str,
    images: Path | str,
    to: Path | str,
    *,
    catalogue: Path | str | None = None,
    mass: str | None = None,
    redshift: str | None = None,
    identifier: str | None = None,
    mass_unit: str | None = None,
    threads: int | None = None,
    device: str = "auto",
    force: bool = False,
) -> Predicted:
    """Predict log10 M500c and its uncertainty for every image of a file, as a FITS table with units and provenance.

    Args:
        model: The folder that `train` wrote.
        images: FITS, npz, or a survey's folder; any number of them, as they are read block by block.
        to: The table, `.fits`.
        catalogue: Of redshifts and identifiers; None where an npz or a survey's folder has its own.
        mass: Column of M500c, where it is known: to compare with.
        redshift: Column of the redshift; None: the one of the training, or a usual name. So is the identifier.
        identifier: Column that names the clusters.
        mass_unit: Unit of the masses; None: the file's.
        threads: Threads to use; None: one for each CPU, or what TensorFlow has, where this process used it before.
        device: What computes: `cpu`, `gpu`, or `auto`: a GPU where TensorFlow sees one.
        force: Replace a table that is there already.

    Raises:
        DataError: The images are not of the kind that the model was trained on, or `to` cannot be written.
        ModelError: The model's folder is incomplete, altered or no model's.
    """
    from clustersweep.display.progress import progress_bar
    from clustersweep.survey.catalogue import ColumnNames
    from clustersweep.survey.observations import open_observations
    from clustersweep.training import predict as prediction

    known, table = load_model(model), Path(to)
    usual = _columns_of_training(Path(model))
    with progress_bar("reading") as progress:
        source = open_observations(
            Path(images), None if catalogue is None else Path(catalogue),
            ColumnNames(redshift=redshift, identifier=identifier, usual=usual),
            needs_redshift=known.takes_redshift, progress=progress,
        )  # fmt: skip
    truth = None
    if mass is not None:
        truth = _true_masses(source.catalogue, ColumnNames(mass, redshift, identifier, mass_unit, usual))
    with progress_bar("predicting") as progress:
        done = prediction.predict(
            known.trained, known.digest, source, table, threads=threads, device=device, overwrite=force,
            progress=progress, known=known.known,
        )  # fmt: skip
    found = None if truth is None else prediction.compare(done, truth, known.trained.recalibration)
    return Predicted(table, known, done, truth is not None, found)


def _columns_of_training(model: Path) -> "ColumnNames":
    """Return the columns and the unit that the model's configuration names, so that nobody has to name them again."""
    from clustersweep.survey.catalogue import ColumnNames
    from clustersweep.training.files.configuration import load_configuration
    from clustersweep.training.files.model_folder import CONFIGURATION

    if not (model / CONFIGURATION).exists():
        return ColumnNames()
    data = load_configuration(model / CONFIGURATION).data
    return ColumnNames(data.mass, data.redshift, data.identifier, data.mass_unit)


def _true_masses(catalogue: Path | None, choice: "ColumnNames") -> Floats:
    """Read log10 M500c from the catalogue, NaN where there is none, before anything is predicted."""
    from clustersweep.errors import DataError, Problem
    from clustersweep.survey.catalogue import masses
    from clustersweep.survey.formats.all import read_catalogue

    if catalogue is None:
        rule = "names a column of the catalogue, and there is none"
        raise DataError([Problem("--mass", str(choice.mass), "", rule, "Give it with --catalogue.")])
    return masses(read_catalogue(catalogue), choice)
