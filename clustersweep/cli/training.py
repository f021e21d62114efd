"""The verbs for one model: train it, predict with it. Registered by `cli`; prints as it does."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from clustersweep.cli.options import HomeOption
from clustersweep.cli.survey import Identifier, Images, MassUnit, Redshift
from clustersweep.cpus import available_cpus

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
    from rich.console import Console

    from clustersweep.api.models import predict as run

    done = run(
        model, images, to, catalogue=catalogue, mass=mass, redshift=redshift, identifier=identifier,
        mass_unit=mass_unit, threads=threads, device=device, force=force,
    )  # fmt: skip
    done.show(Console())
