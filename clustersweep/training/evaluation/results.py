"""What a training came to: plain values, which the report draws and `metrics.json` holds. Computes nothing."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clustersweep.study.events import Device

Floats = NDArray[np.float64]
StageName = Literal["base", "outliers", "probabilistic", "fine_tune"]
Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Clusters:
    """What is known of the clusters of one part, `(cluster,)` each.

    Attributes:
        log_mass: log10 M500c in solar masses.
        redshift: Redshift.
        counts: Sum of the image.
        central_counts: Sum of the pixels within `survey.agreement.CENTRAL_RADIUS` of its centre.
    """

    log_mass: Floats
    redshift: Floats
    counts: Floats
    central_counts: Floats


@dataclass(frozen=True)
class Predictions:
    """Clusters with what the networks say of them, `(cluster,)` each.

    Attributes:
        clusters: The truth.
        predicted: log10 M500c in solar masses.
        sd: Its standard deviation, dex, before recalibration.
    """

    clusters: Clusters
    predicted: Floats
    sd: Floats


@dataclass(frozen=True)
class OutlierRegions:
    """The masses where a network errs most, before and after retraining on them; all of the validation part.

    Attributes:
        edges: Edges of the bins of mass, dex, `(bin + 1,)`; equally many clusters in each.
        worst: The bins that are outlier regions.
        before: Mean squared error in each bin, dex^2.
        after: The same after retraining.
        outliers: Clusters inside the outlier regions.
        others: Clusters outside.
    """

    edges: tuple[float, ...]
    worst: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    outliers: int
    others: int


@dataclass(frozen=True)
class StageResult:
    """One stage of the training of one seed.

    Attributes:
        stage: `base`, `outliers`, `probabilistic` or `fine_tune`.
        seed: The seed.
        kept: Whether its weights were taken over; a retraining that does not improve is not.
        val_loss: Validation loss of its best epoch, dex^2.
        val_nll: Negative log-likelihood there; None without a variance.
        best_epoch: That epoch, counted from 1.
        epochs: Epochs trained.
        seconds: Time spent training.
        curve: `(loss, val_loss)` of every epoch, dex^2.
        nll_curve: `(nll, val_nll)` of every epoch; empty without a variance.
        regions: Of the stage `outliers`, else None.
        devices: What computed its epochs, in their order; none where an older version computed a part.
    """

    stage: StageName
    seed: int
    kept: bool
    val_loss: float
    val_nll: float | None
    best_epoch: int
    epochs: int
    seconds: float
    curve: Curve = field(repr=False)
    nll_curve: Curve = field(repr=False)
    regions: OutlierRegions | None = field(default=None, repr=False)
    devices: tuple[Device, ...] = ()


def as_json(value: Any) -> Any:
    """Return dataclasses, mappings and sequences as JSON values for other programs: what is not finite as null."""
    if is_dataclass(value):
        return {part.name: as_json(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def result_json(result: StageResult) -> dict[str, Any]:
    """Return a stage as JSON values, NaN and all; `result_from` reads it back."""
    return asdict(result)


def result_from(record: dict[str, Any]) -> StageResult:
    """Read a stage from JSON values.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    curves = {name: tuple((float(a), float(b)) for a, b in record[name]) for name in ("curve", "nll_curve")}
    regions = record["regions"]
    if regions is not None:
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in regions.items()}
        regions = OutlierRegions(**plain)
    devices = tuple(Device(**device) for device in record.get("devices", ()))
    return StageResult(**{**record, **curves, "regions": regions, "devices": devices})
