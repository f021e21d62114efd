"""The verbs for one model: train it, predict with it. Registered by `cli`; prints as it does."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clustersweep.cli.options import HomeOption
from clustersweep.cli.survey import Identifier, Images, MassUnit, Redshift
from clustersweep.cpus import available_cpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clustersweep.survey.catalogue import ColumnNames
    from clustersweep.training.files.trained_model import TrainedModel
    from clustersweep.training.predict import Summary

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="The folder that `train` wrote.")]
Catalogue = Annotated[
    Path | None,
    typer.Option(
        help="FITS, npz, feather or CSV, for redshifts and identifiers; an npz or a survey's folder has its own."
    ),
]

DeviceOption = Annotated[
    Literal["auto", "cpu", "gpu"], typer.Option("--device", help="What computes; auto: a GPU where there is one.")
]


def train(
    configuration: Annotated[
        Path,
        typer.Argument(metavar="CONFIGURATION", help="What `export` wrote, or a recipe such as sweeps/naive.yaml."),
    ],
    to: Annotated[Path, typer.Option(help="The model's folder.")] = Path("model"),
    threads: Annotated[
        int, typer.Option(min=1, max=1024, help="Threads to use; another number may change the last digits.")
    ] = available_cpus(),
    device: DeviceOption = "auto",
    home_folder: HomeOption = None,
) -> None:
    """Train the final model: every stage, one network for each seed, measured once on the test part."""
    from rich.console import Console

    from clustersweep.api.models import train as run
    from clustersweep.display.training_progress import print_training
    from clustersweep.masses.train import predict_command

    done = run(configuration, to, threads=threads, device=device, home=home_folder)
    print_training(done.evaluation, Console())
    print(f"\nreport   {done.report}")
    if done.no_png:
        print(f"figures  {done.no_png}")
    print(f"predict  {predict_command(to, done.network)}")
    if done.failed:
        raise typer.Exit(1)


def predict(
    model: ModelFolder,
    images: Images,
    *,
    to: Annotated[Path, typer.Option(help="The FITS table to write, e.g. masses.fits.")],
    catalogue: Catalogue = None,
    mass: Annotated[str | None, typer.Option(help="Column of M500c, where it is known: to compare with.")] = None,
    redshift: Redshift = None,
    identifier: Identifier = None,
    mass_unit: MassUnit = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads to use.")] = available_cpus(),
    device: DeviceOption = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace the table if it is there already.")] = False,
) -> None:
    """Predict log10 M500c and its uncertainty for every image, as a FITS table with units and provenance."""
    from clustersweep.display.progress import progress_bar
    from clustersweep.survey.catalogue import ColumnNames
    from clustersweep.survey.observations import open_observations
    from clustersweep.training.files.model_folder import read_clusters, read_model
    from clustersweep.training.predict import predict as predicted

    (trained, digest), known = read_model(model), read_clusters(model)
    usual = _columns_of_training(model)
    choice = ColumnNames(redshift=redshift, identifier=identifier, usual=usual)
    needs_redshift = trained.network.redshift != "none"
    with progress_bar("reading") as progress:
        source = open_observations(images, catalogue, choice, needs_redshift=needs_redshift, progress=progress)
    truth = (
        None
        if mass is None
        else _true_masses(source.catalogue, ColumnNames(mass, redshift, identifier, mass_unit, usual))
    )
    with progress_bar("predicting") as progress:
        done = predicted(
            trained, digest, source, to, threads=threads, device=device, overwrite=force, progress=progress, known=known
        )
    print(f"{to}: {done.clusters:,} clusters, model {digest}")
    _print_summary(done, trained)
    if truth is not None:
        _print_comparison(done, truth, trained.recalibration)


def _columns_of_training(model: Path) -> "ColumnNames":
    """Return the columns and the unit that the model's configuration names, so that nobody has to name them again."""
    from clustersweep.survey.catalogue import ColumnNames
    from clustersweep.training.files.configuration import load_configuration
    from clustersweep.training.files.model_folder import CONFIGURATION

    if not (model / CONFIGURATION).exists():
        return ColumnNames()
    data = load_configuration(model / CONFIGURATION).data
    return ColumnNames(data.mass, data.redshift, data.identifier, data.mass_unit)


def _true_masses(catalogue: Path | None, choice: "ColumnNames") -> "NDArray[np.float64]":
    """Read log10 M500c from the catalogue, NaN where there is none, before anything is predicted."""
    from clustersweep.errors import DataError, Problem
    from clustersweep.survey.catalogue import masses
    from clustersweep.survey.formats.all import read_catalogue

    if catalogue is None:
        rule = "names a column of the catalogue, and there is none"
        raise DataError([Problem("--mass", str(choice.mass), "", rule, "Give it with --catalogue.")])
    return masses(read_catalogue(catalogue), choice)


def _print_comparison(done: "Summary", truth: "NDArray[np.float64]", recalibration: float) -> None:
    from rich.console import Console

    from clustersweep.display.training_progress import print_metrics
    from clustersweep.training.predict import compare

    found = compare(done, truth, recalibration)
    if found is None:
        left_out = " that the model was not trained with" if done.taught.any() else ""
        print(f"\nno cluster{left_out} has both a known and a predicted mass: nothing to compare")
        return
    print()
    print_metrics(f"Against the known masses of {found.metrics.number:,} clusters", found.metrics, Console())
    taught = int(done.taught.sum())
    if taught:
        print(f"{taught:,} of {done.clusters:,} trained or validated the model, and are left out")
    if found.outside:
        others = "" if math.isnan(found.rmse_inside) else f"; without them the RMSE is {found.rmse_inside:.3f} dex"
        print(f"{found.outside:,} with flag 1 or 2, outside what the model was trained on, are counted in{others}")
    if lacking := done.clusters - taught - found.metrics.number:
        print(f"{lacking:,} of {done.clusters:,} have no known or no predicted mass")
    for before, after in zip(found.before.coverage, found.after.coverage, strict=True):
        shares = f"{after.observed:.1%} ({before.observed:.1%} before recalibration)"
        print(f"truth within {after.sigma} sigma: {shares}, {after.nominal:.1%} ± {after.error:.1%} is honest")


def _print_summary(done: "Summary", trained: "TrainedModel") -> None:
    from clustersweep.training.files.mass_table import flag_text

    if done.without_mass < done.clusters:
        low, median, high = done.log_mass
        print(f"{'log10 M500c / Msun':<20} {low:.2f} to {high:.2f}, median {median:.2f}")
        print(f"{'median uncertainty':<20} {done.median_sd:.3f} dex")
    if done.without_mass:
        print(f"{'without a mass':<20} {done.without_mass:,}")
    print(f"{'computed on':<20} {done.device}")
    print(f"{'flagged':<20} {done.flagged:,}")
    for flag, count in sorted(done.flags.items()):
        if count:
            print(f"  {f'flag {flag.value}':<18} {count:,}: {flag_text(flag, trained)}")
    if done.parts is None:
        print(f"{'seen in training':<20} cannot be told: an earlier version wrote the model")
    elif sum(done.parts.values()):
        counted = ", ".join(f"{count:,} {part}" for part, count in done.parts.items() if count)
        print(f"{'seen in training':<20} {sum(done.parts.values()):,}: {counted} (column `part`)")
