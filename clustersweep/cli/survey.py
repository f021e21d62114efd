"""The verbs for surveys: make one, look at one, convert one. Registered by `cli`; prints as it does."""

from pathlib import Path
from typing import Annotated

import typer

from clustersweep.cpus import available_cpus

Images = Annotated[Path, typer.Argument(metavar="IMAGES", help="FITS, npz, the lab's pickle, or a survey's folder.")]
Catalogue = Annotated[
    Path | None, typer.Option(help="FITS, feather or CSV; not needed for an npz or a survey's folder.")
]
Mass = Annotated[str | None, typer.Option(help="Column of M500c. \\[default: a usual name]")]
Redshift = Annotated[str | None, typer.Option(help="Column of the redshift. \\[default: a usual name]")]
MassUnit = Annotated[
    str | None, typer.Option(help="Unit of the masses, e.g. '1e14 solMass' or 'dex(solMass)'. \\[default: the file's]")
]
Identifier = Annotated[str | None, typer.Option(help="Column that names the clusters. \\[default: a usual name]")]


def simulate(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for images.fits and catalogue.fits.")],
    clusters: Annotated[int, typer.Option(min=10, max=10_000_000, help="How many clusters.")] = 7946,
    seed: Annotated[int, typer.Option(min=0, help="Cluster i of a seed is always the same.")] = 42,
    pixels: Annotated[int, typer.Option(min=4, max=1024, help="Pixels along each side.")] = 50,
    jobs: Annotated[int, typer.Option(min=1, help="Processes to use.")] = available_cpus(),
) -> None:
    """Write a mock of the eFEDS cluster survey: images in ten energy bands, and their catalogue."""
    from rich.console import Console

    from clustersweep.api.surveys import simulate as run

    run(to, clusters=clusters, seed=seed, pixels=pixels, jobs=jobs).show(Console())


def show(
    images: Images,
    *,
    catalogue: Catalogue = None,
    to: Annotated[
        Path | None, typer.Option(help="HTML page to write (works offline). \\[default: the survey's name, and .html]")
    ] = None,
    mass: Mass = None,
    redshift: Redshift = None,
    identifier: Identifier = None,
    mass_unit: MassUnit = None,
) -> None:
    """Summarise a survey, and draw its masses, redshifts and some clusters band by band."""
    from rich.console import Console

    from clustersweep.api.surveys import show as run

    run(images, to, catalogue=catalogue, mass=mass, redshift=redshift, identifier=identifier, mass_unit=mass_unit).show(
        Console()
    )


def convert(
    images: Images,
    *,
    to: Annotated[Path, typer.Option(help="A file that ends in .npz, or a folder for FITS files.")],
    catalogue: Catalogue = None,
    mass: Mass = None,
    redshift: Redshift = None,
    identifier: Identifier = None,
    mass_unit: MassUnit = None,
    drop_invalid: Annotated[
        bool,
        typer.Option("--drop-invalid", help="Leave out clusters without mass, redshift or good pixels; says which."),
    ] = False,
) -> None:
    """Turn any source into FITS or npz, checked, once. Nothing in a pickle is ever run."""
    from rich.console import Console

    from clustersweep.api.surveys import convert as run

    done = run(
        images, to, catalogue=catalogue, mass=mass, redshift=redshift, identifier=identifier, mass_unit=mass_unit,
        drop_invalid=drop_invalid,
    )  # fmt: skip
    done.show(Console())
