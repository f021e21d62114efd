"""Draw the figures of docs/physics.md and fill in its measured numbers.

Run as `python benchmarks/physics.py`; it simulates the 7,946 clusters of seed 42 and measures them with the functions
that the tests use (`clustersweep.survey.simulator.verification`). The charts are plain SVG: the page needs nothing.
"""

import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustersweep.survey.formats import fits as fitsfile
from clustersweep.survey.simulator import gas, instrument, population, tables, verification
from clustersweep.survey.source import open_dataset
from clustersweep.survey.spec import DataSpec, SimulateSpec, SplitSpec
from clustersweep.survey.split import make_split

PAGE = Path(__file__).parents[1] / "docs" / "physics.md"
FIGURES = PAGE.parent / "physics"
BEGIN, END = "<!-- measured by benchmarks/physics.py -->", "<!-- end -->"
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
POINTS = 1200  # as many as a figure shows

Columns = Mapping[str, NDArray[Any]]


class Chart:
    """A chart of lines and points with linear axes; whoever wants a logarithm takes it first."""

    def __init__(self, x: tuple[str, float, float], y: tuple[str, float, float]) -> None:
        self.x, self.y = x, y
        self.left, self.top, self.width, self.height = 62, 14, 440, 280
        self.parts: list[str] = []
        self.names: list[tuple[str, str]] = []
        self._frame()

    def line(self, x: ArrayLike, y: ArrayLike, colour: str, name: str = "", dash: str = "") -> None:
        """Join points."""
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in self._places(x, y))
        style = f'stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" {style}/>')
        self._named(name, colour)

    def points(self, x: ArrayLike, y: ArrayLike, colour: str, name: str = "", size: float = 4.0) -> None:
        """Mark points."""
        path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in self._places(x, y))
        style = f'stroke="{colour}" stroke-width="{size}" stroke-linecap="round" fill="none"'
        self.parts.append(f'<path d="{path}" {style} opacity="{0.5 if size < 3 else 1}"/>')
        self._named(name, colour)

    def write(self, name: str) -> None:
        """Write `name`.svg."""
        legend = "".join(
            f'<circle cx="{self.left + 14}" cy="{self.top + 14 + 17 * n}" r="4" fill="{colour}"/>'
            f'<text x="{self.left + 24}" y="{self.top + 18 + 17 * n}">{escape(text)}</text>'
            for n, (text, colour) in enumerate(self.names)
        )
        whole = f'width="{self.left + self.width + 16}" height="{self.top + self.height + 52}"'
        body = "\n".join([*self.parts, legend])
        style = 'font-family="sans-serif" font-size="12" fill="#1f2933"'
        (FIGURES / f"{name}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" {whole} {style}>'
            f'<rect {whole} fill="white"/>\n{body}\n</svg>\n'
        )  # fmt: skip

    def _named(self, name: str, colour: str) -> None:
        if name:
            self.names.append((name, colour))

    def _places(self, x: ArrayLike, y: ArrayLike) -> list[tuple[float, float]]:
        (_, x0, x1), (_, y0, y1) = self.x, self.y
        a = self.left + self.width * (np.atleast_1d(x) - x0) / (x1 - x0)
        b = self.top + self.height * (1 - (np.atleast_1d(y) - y0) / (y1 - y0))
        seen = (np.abs(a - self.left - self.width / 2) <= self.width / 2 + 1) & (
            np.abs(b - self.top - self.height / 2) <= self.height / 2 + 1
        )
        return list(zip(a[seen].tolist(), b[seen].tolist(), strict=True))

    def _frame(self) -> None:
        bottom = self.top + self.height
        grid = 'stroke="#e6eaef"'
        for value in ticks(*self.x[1:]):
            at = self.left + self.width * (value - self.x[1]) / (self.x[2] - self.x[1])
            self.parts.append(f'<path d="M{at:.1f} {self.top}V{bottom}" {grid}/>')
            self.parts.append(f'<text x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">{value:g}</text>')
        for value in ticks(*self.y[1:]):
            at = bottom - self.height * (value - self.y[1]) / (self.y[2] - self.y[1])
            self.parts.append(f'<path d="M{self.left} {at:.1f}H{self.left + self.width}" {grid}/>')
            self.parts.append(f'<text x="{self.left - 7}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = self.left + self.width / 2, self.top + self.height / 2
        turned = f'transform="translate(15 {middle[1]}) rotate(-90)"'
        self.parts += [
            f'<path d="M{self.left} {self.top}h{self.width}v{self.height}h-{self.width}z" fill="none" stroke="gray"/>',
            f'<text x="{middle[0]}" y="{bottom + 38}" text-anchor="middle">{escape(self.x[0])}</text>',
            f'<text {turned} text-anchor="middle">{escape(self.y[0])}</text>',
        ]


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two."""
    step = 10 ** np.floor(np.log10((high - low) / 4))
    step *= next(s for s in (1, 2, 5, 10) if (high - low) / (step * s) <= 6)
    first = np.ceil(low / step - 1e-9) * step
    return [round(float(v), 10) + 0.0 for v in np.arange(first, high + step / 1e6, step)]


def draw_spectrum() -> None:
    """Figure: the share of counts in each band."""
    edges = tables.bands().edges_kev
    middle = (edges[1:] + edges[:-1]) / 2
    chart = Chart(("energy [keV]", 0.25, 2.3), ("share of the counts", 0.0, 0.45))
    for kt, z, colour in ((1.0, 0.1, ORANGE), (4.0, 0.4, BLUE)):
        lines = verification.band_fractions(kt, z, lines=True)
        continuum = verification.band_fractions(kt, z, lines=False)
        chart.line(middle, lines, colour)
        chart.points(middle, lines, colour, f"kT {kt:g} keV, z {z:g}", 7)
        chart.line(middle, continuum, colour, dash="3 4")
    chart.write("bands")


def draw_gas() -> None:
    """Figure: the beta model and the gas that it approximates."""
    x = np.geomspace(0.1, 10, 100)
    chart = Chart(("log10 r / rc", -1.0, 1.0), ("log10 density / central density", -2.5, 0.2))
    chart.line(np.log10(x), np.log10(gas.hydrostatic_density(x, 2 / 3)), BLUE, "hydrostatic in a King potential")
    chart.line(np.log10(x), np.log10(gas.gas_density(x, 2 / 3)), ORANGE, "beta model, beta = 2/3", "6 4")
    chart.write("gas")


def draw_psf() -> None:
    """Figure: enclosed light of a point source."""
    radius, measured = tables.measured_psf()
    fine = np.linspace(0, 60, 200)
    chart = Chart(("radius [arcsec]", 0, 60), ("share of the light within", 0, 1.05))
    chart.line(fine, instrument.psf_enclosed(fine), BLUE)
    chart.points(radius, verification.drawn_psf(radius), BLUE, "model and drawn photons", 7)
    chart.points(radius, measured, ORANGE, "measured on three stars", 6)
    chart.write("psf")


def draw_relations(columns: Columns) -> None:
    """Figures: temperature and luminosity against mass, and counts against flux."""
    log_mass, z = np.log10(columns["M500c"]), columns["z"]
    masses = np.array([13.0, 15.3])
    pivot = np.full(2, 0.35)
    log_e = np.log10(verification.cosmology.expansion(z) / verification.cosmology.expansion(0.35))
    chart = Chart(("log10 M500c / Msun", 13.0, 15.3), ("log10 kT / keV, scaled to z = 0.35", -0.4, 1.3))
    chart.points(log_mass[:POINTS], (np.log10(columns["kT"]) - 0.415 * log_e)[:POINTS], BLUE, "simulated", 2.2)
    chart.line(masses, population.log_temperature_mean(masses, pivot), ORANGE, "relation that was put in")
    chart.write("temperature")
    chart = Chart(("log10 M500c / Msun", 13.0, 15.3), ("log10 L [erg/s], scaled to z = 0.35", 41.2, 45.5))
    chart.points(
        log_mass[:POINTS], (np.log10(columns["Lx_soft"]) - 2.3 * log_e)[:POINTS], BLUE, "found by the survey", 2.2
    )
    chart.line(masses, population.log_luminosity_mean(masses, pivot), ORANGE, "relation that was put in")
    chart.write("luminosity")
    rate = columns["expected_counts"] / columns["exposure"]
    chart = Chart(("log10 flux 0.5-2 keV [erg/s/cm²]", -14.2, -11.0), ("log10 counts/s", -2.5, 1.2))
    log_flux = np.log10(columns["Fx_soft"])
    chart.points(log_flux[:POINTS], np.log10(rate)[:POINTS], BLUE, "simulated, within R500", 2.6)
    ends = np.array([-14.2, -11.0])
    chart.line(ends, ends + np.log10(1.3e12), ORANGE, "1.3e12 counts/s per erg/s/cm²")
    chart.write("flux")


def draw_population(columns: Columns) -> None:
    """Figures: the distribution of redshifts, and mass against redshift."""
    shares = np.linspace(0.01, 0.99, 99)
    chart = Chart(("redshift", 0, 1.0), ("share of the clusters below", 0, 1.0))
    chart.line(np.quantile(columns["z"], shares), shares, BLUE, "simulated")
    real = verification.REAL_QUANTILES
    chart.points(list(real.values()), list(real), ORANGE, "real set", 8)
    chart.write("redshift")
    edges = np.array(verification.REDSHIFT_BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    means, errors = verification.mean_mass_by_redshift(columns)
    chart = Chart(("redshift", 0, 1.5), ("log10 M500c / Msun", 13.0, 15.0))
    chart.points(columns["z"][:POINTS], np.log10(columns["M500c"])[:POINTS], "#9fb3c8", "simulated clusters", 2.2)
    chart.points(middle, means, BLUE, "their mean in bins", 9)
    for x, mean, error in zip(middle, means, errors, strict=True):
        chart.line([x, x], [mean - error, mean + error], BLUE)
    chart.line(middle, verification.expected_mean_mass(), ORANGE, "mean by integration")
    chart.write("mass-redshift")


def measured(columns: Columns, references: Mapping[str, float]) -> str:
    """Return the tables of measured numbers in Markdown."""
    log_mass, z = np.log10(columns["M500c"]), columns["z"]
    temperature, luminosity = verification.temperature_fit(columns), verification.luminosity_fit(columns)
    explained = np.corrcoef(z, log_mass)[0, 1] ** 2
    real_cluster, rate = verification.real_cluster_counts(), verification.counts_per_flux(4.0, 0.3)
    rows = [
        ("log10 M500c, mean", f"{log_mass.mean():.3f}", "13.96", "0.02"),
        ("log10 M500c, standard deviation", f"{log_mass.std():.3f}", "0.415", "0.03"),
    ]
    for share, real in verification.REAL_QUANTILES.items():
        rows.append((f"redshift, {share:.0%} quantile", f"{np.quantile(z, share):.3f}", f"{real:.2f}", "0.025"))
    rows.append(("variance of log10 M that a line in z explains", f"{explained:.3f}", "0.281", "0.03"))
    for share, known in ((0.05, "17"), (0.5, "93"), (0.95, "784")):
        found = f"{np.quantile(columns['net_counts'], share):.0f}"
        rows.append((f"net counts, {share:.0%} quantile", found, known, "15 %"))
    relations = (("temperature", temperature, "0.55, 0.067", "0.01, 0.002"),
                 ("luminosity", luminosity, "1.50, 0.212", "0.08, 0.02"))  # fmt: skip
    for name, fit, known, tolerance in relations:
        rows.append((f"{name}: slope, scatter [dex]", f"{fit.slope:.2f}, {fit.scatter_dex:.3f}", known, tolerance))
    rows.append(("net counts of eFEDS J092121.2+031726 within 2'", f"{real_cluster:,.0f}", "1,181", "20 %"))
    rows.append(("counts/s per erg/s/cm² (kT 4 keV, z 0.3)", f"{rate:.2e}", "1.3e12", "5 %"))
    lines = ["| quantity | simulated | known | tolerance |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "| what is known of a cluster | error [dex] |", "|---|---|"]
    lines += [f"| {name} | {error:.3f} |" for name, error in references.items()]
    return "\n".join(lines)


def main() -> None:
    """Simulate, measure, draw, fill in."""
    spec = SimulateSpec(clusters=7946)
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(DataSpec(simulate=spec), Path(folder), jobs=2)
        columns = fitsfile.read_catalogue(Path(folder) / spec.digest / "catalogue.fits").columns
    split = make_split(len(dataset), SplitSpec())
    references = verification.references(dataset.images, columns, split)
    FIGURES.mkdir(exist_ok=True)
    draw_spectrum()
    draw_gas()
    draw_psf()
    draw_relations(columns)
    draw_population(columns)
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{measured(columns, references)}\n{END}{after}")


if __name__ == "__main__":
    main()
