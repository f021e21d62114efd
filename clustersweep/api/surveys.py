"""Surveys: simulated, shown and converted, as the verbs do it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clustersweep.cpus import available_cpus
from clustersweep.display.values import Shown

if TYPE_CHECKING:
    from rich.console import Console

    from clustersweep.survey.agreement import Agreement
    from clustersweep.survey.catalogue import Labels
    from clustersweep.survey.figures import Summary


@dataclass(frozen=True, repr=False)
class Simulated(Shown):
    """A survey that was simulated.

    Attributes:
        images: Its counts, FITS.
        catalogue: Its masses and redshifts, FITS.
    """

    images: Path
    catalogue: Path

    def show(self, out: "Console") -> None:
        """Print where it is."""
        for path in (self.images, self.catalogue):
            out.out(str(path), highlight=False)


def simulate(
    to: Path | str, *, clusters: int = 7946, seed: int = 42, pixels: int = 50, jobs: int | None = None
) -> Simulated:
    """Write a mock of the eFEDS cluster survey: images in ten energy bands, and their catalogue.

    Args:
        to: The folder; a survey of the same recipe that is there is left as it is.
        clusters: How many.
        seed: Cluster i of a seed is always the same.
        pixels: Along each side.
        jobs: Processes to use; None: one for each CPU.

    Raises:
        DataError: The folder holds something else, or cannot be written.
        ValueError: There are fewer than 10 clusters or 4 pixels.
    """
    from clustersweep.display.progress import progress_bar
    from clustersweep.survey.simulator.simulate import write_survey
    from clustersweep.survey.spec import SimulateSpec

    if clusters < 10 or pixels < 4:
        raise ValueError(f"at least 10 clusters of 4 pixels a side are simulated, not {clusters} of {pixels}")
    folder = Path(to)
    with progress_bar("simulating") as progress:
        write_survey(SimulateSpec(clusters=clusters, seed=seed, pixels=pixels), folder, jobs=jobs or available_cpus(),
                     progress=progress)  # fmt: skip
    return Simulated(folder / "images.fits", folder / "catalogue.fits")


@dataclass(frozen=True, repr=False)
class SurveyShown(Shown):
    """A survey that was looked at.

    Attributes:
        summary: Its numbers; `dict(summary.items())` has them as text.
        columns: What was taken from the catalogue, in words.
        masses: Their columns and units, in words.
        order: Whence the order of the rows is known.
        html: The page with the figures.
    """

    summary: "Summary"
    columns: str
    masses: str
    order: str
    html: Path

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep show` does."""
        rest = (("columns", self.columns), ("masses", self.masses), ("order of the rows", self.order))
        for name, value in (*self.summary.items(), *rest):
            out.out(f"{name:<24} {value}", highlight=False)
        out.out(str(self.html), highlight=False)


def show(
    images: Path | str,
    to: Path | str | None = None,
    *,
    catalogue: Path | str | None = None,
    mass: str | None = None,
    redshift: str | None = None,
    identifier: str | None = None,
    mass_unit: str | None = None,
) -> SurveyShown:
    """Summarise a survey, and draw its masses, redshifts and some clusters band by band.

    Args:
        images: FITS, npz, the lab's pickle, or a survey's folder.
        to: The HTML page to write, which works offline; None: the survey's name, and `.html`.
        catalogue: FITS, feather or CSV; None where an npz or a survey's folder has it.
        mass: Column of M500c; None: a usual name. So are the others.
        redshift: Column of the redshift.
        identifier: Column that names the clusters.
        mass_unit: Unit of the masses, e.g. `1e14 solMass` or `dex(solMass)`; None: the file's.

    Raises:
        DataError: What is wrong with the source, or the page cannot be written.
    """
    from clustersweep.display.progress import progress_bar
    from clustersweep.report.survey import write_survey_page
    from clustersweep.survey.agreement import warn_of_suspicions
    from clustersweep.survey.catalogue import ColumnNames
    from clustersweep.survey.figures import summary
    from clustersweep.survey.formats.all import read_source
    from clustersweep.survey.formats.files import located, survey_name

    where, table = Path(images), None if catalogue is None else Path(catalogue)
    choice = ColumnNames(mass, redshift, identifier, mass_unit)
    with progress_bar("reading") as progress:
        source = read_source(*located(where, table), choice, progress, needs_redshift=False)
    found, labels = summary(source.dataset), source.labels
    warn_of_suspicions(found.agreement, where)
    page = write_survey_page(source.dataset, Path(to or f"{survey_name(where)}.html"), str(where))
    return SurveyShown(found, labels.text, labels.masses_text.removeprefix("masses "), source.order, page)


@dataclass(frozen=True, repr=False)
class Converted(Shown):
    """A survey that was converted; it shows what was taken, and how well images and masses go together.

    Attributes:
        to: Where it is.
        source: What it was made from.
        clusters: How many.
        digest: Of its content.
        labels: What was taken from the catalogue.
        order: Whence the order of the rows is known.
        agreement: How well the images go with the masses.
    """

    to: Path
    source: Path
    clusters: int
    digest: str
    labels: "Labels"
    order: str
    agreement: "Agreement"

    def show(self, out: "Console") -> None:
        """Print it as `clustersweep convert` does."""
        lines = [
            f"{self.to}: {self.clusters:,} clusters, digest {self.digest}",
            f"taken from {self.source}: {self.labels.text}",
            self.labels.masses_text,
            f"order of the rows: {self.order}",
        ]
        if self.agreement.correlation_text:
            lines.append(f"rank correlation of counts and mass: {self.agreement.correlation_text}")
        for line in (*lines, f"mean of each band: {self.agreement.bands_text}"):
            out.out(line, highlight=False)


def convert(
    images: Path | str,
    to: Path | str,
    *,
    catalogue: Path | str | None = None,
    mass: str | None = None,
    redshift: str | None = None,
    identifier: str | None = None,
    mass_unit: str | None = None,
    drop_invalid: bool = False,
) -> Converted:
    """Turn any source into FITS or npz, checked, once. Nothing in a pickle is ever run.

    Args:
        images: FITS, npz, the lab's pickle, or a survey's folder.
        to: A file that ends in `.npz`, or a folder for FITS files.
        catalogue: FITS, feather or CSV; None where an npz or a survey's folder has it.
        mass: Column of M500c; None: a usual name. So are the others.
        redshift: Column of the redshift.
        identifier: Column that names the clusters.
        mass_unit: Unit of the masses, e.g. `1e14 solMass` or `dex(solMass)`; None: the file's.
        drop_invalid: Leave out clusters without mass, redshift or good pixels; which, is logged.

    Raises:
        DataError: What is wrong with the source, or `to` is there already or cannot be written.
    """
    from clustersweep.display.progress import progress_bar
    from clustersweep.survey.agreement import agreement, warn_of_suspicions
    from clustersweep.survey.catalogue import ColumnNames, Labels
    from clustersweep.survey.formats.all import convert as converted

    source, table = Path(images), None if catalogue is None else Path(catalogue)
    taken: list[tuple[Labels, str]] = []
    with progress_bar("reading") as progress:
        dataset = converted(
            source, table, Path(to), choice=ColumnNames(mass, redshift, identifier, mass_unit), progress=progress,
            drop_invalid=drop_invalid, taken=lambda labels, order: taken.append((labels, order)),
        )  # fmt: skip
    found = agreement(dataset)
    warn_of_suspicions(found, source)
    [(labels, order)] = taken
    return Converted(Path(to), table or source, len(dataset), dataset.digest, labels, order, found)
