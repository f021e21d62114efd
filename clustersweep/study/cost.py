"""What training costs in time: a model of what trials cost, fitted to what sweeps measured, and estimates from it.

An epoch takes the sum of its parts (`PARTS`), each its amount of work times what a unit of that costs on a device. The
fit is linear least squares of relative errors around what is assumed before anything is measured, so that few
measurements, or many of trials of one size, move only what they tell about. It needs sums alone (`speeds.py`).
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clustersweep.study.events import Device
from clustersweep.study.results import Trial

PARTS: Mapping[str, float] = {
    "convolution": 8e-12,
    "scaling": 5e-9,
    "elementwise": 1e-9,
    "dense": 2e-11,
    "weights": 3e-9,
    "operations": 5e-5,
    "augmentation": 8e-9,
}
"""The parts of an epoch, and what a unit of each costs where nothing is measured, seconds.

They are those of a small network, by whose names a home keeps what it measured. A task that trains something else
counts its work in whichever are most like it, and none in the others: what is measured makes up for the difference.

From the networks in `benchmarks/results/efficiency.json`, on one core of a Xeon with AVX-512.

* `convolution`: operations of convolutions, filters counted in whole vectors: ten cost as much as sixteen;
* `scaling`: pixels read, gathered, transformed and standardised;
* `elementwise`: values that layers give, once forward and once back (poolings and activations pass over them);
* `dense`: operations of dense layers;
* `weights`: weights that the optimizer changes, once a step;
* `operations`: layers run, once a step, however little they have to do;
* `augmentation`: pixels mirrored or turned.
"""


def in_parts(work: Mapping[str, float]) -> tuple[float, ...]:
    """Return units of work by the part's name as `Candidate.amounts` has them, none of parts that are not named.

    Raises:
        KeyError: There is no such part.
    """
    unknown = work.keys() - PARTS.keys()
    if unknown:
        raise KeyError(f"no part of an epoch: {', '.join(sorted(unknown))}")
    return tuple(work.get(part, 0.0) for part in PARTS)


LAYER_S = 0.03
"""What a layer takes to compile where nothing is measured, seconds; a trial takes `EXTRA_LAYERS` more, once."""
EXTRA_LAYERS = 8
BUILDING = 1.2
"""What is measured is the compilation; building the network before takes another fifth of it."""

# How far a unit's cost may be from the assumed one, relative to the whole device's speed (standard deviation of its
# logarithm), and how well the model describes a network whose every unit is known.
UNIT_SD, MODEL_SD = 0.7, 0.2
# The same for a device on which nothing was measured.
DEVICE_SD = 0.8
# Trials of one sweep are alike in what the model does not know: more of them tell no more than so many.
TELLING = 60.0
# No part is cheaper than this share of what the others lead one to expect: nothing is free.
LEAST = 0.05
# Nine of ten are within so many standard deviations.
NINE_OF_TEN = 1.645

Amounts = NDArray[np.float64]  # of each part, (part,)


@dataclass(frozen=True)
class Sums:
    """What was measured on one device, as sums over replicates: all that the fit needs, however much was trained.

    Attributes:
        count: Replicates; fewer once older ones are let go of (`forgetting`).
        products: Sum of the products of amounts, each over the seconds of its epoch, `(part, part)`, per second^2.
        amounts: Sum of the amounts over the seconds, `(part,)`.
        compile_s: Sum of the seconds by which first epochs were longer than usual ones.
        layers: Sum of the layers that were compiled in them, `EXTRA_LAYERS` more for each.
        sizes: How many replicates had epochs of 2^k to 2^(k + 1) operations, by k.
    """

    count: float = 0.0
    products: NDArray[np.float64] = field(default_factory=lambda: np.zeros((len(PARTS), len(PARTS))))
    amounts: Amounts = field(default_factory=lambda: np.zeros(len(PARTS)))
    compile_s: float = 0.0
    layers: float = 0.0
    sizes: Mapping[int, float] = field(default_factory=dict)

    def __add__(self, other: "Sums") -> "Sums":
        sizes = {k: self.sizes.get(k, 0.0) + other.sizes.get(k, 0.0) for k in {*self.sizes, *other.sizes}}
        return Sums(
            self.count + other.count,
            self.products + other.products,
            self.amounts + other.amounts,
            self.compile_s + other.compile_s,
            self.layers + other.layers,
            sizes,
        )

    def times(self, share: float) -> "Sums":
        """Return the same measurements, each counting for a share of one."""
        sizes = {k: share * count for k, count in self.sizes.items()}
        return Sums(self.count * share, self.products * share, self.amounts * share,
                    self.compile_s * share, self.layers * share, sizes)  # fmt: skip


def measured_sums(trial: Trial, epoch_s: float, compile_s: float | None) -> Sums:
    """Return what one replicate measured.

    Args:
        trial: What it belongs to.
        epoch_s: Seconds of its usual epoch.
        compile_s: By how much its first epoch was longer; None where nothing was compiled in it.
    """
    shares = np.array(trial.amounts) / epoch_s
    size = math.floor(math.log2(max(1.0, trial.cost_flops / trial.epochs)))
    layers = 0.0 if compile_s is None else float(trial.compiled + EXTRA_LAYERS)
    return Sums(1.0, np.outer(shares, shares), shares, compile_s or 0.0, layers, {size: 1.0})


@dataclass(frozen=True)
class Speed:
    """How fast one worker trains, and how sure that is.

    Attributes:
        device: What it is of; None where nothing was measured.
        unit_s: Seconds of a unit of each part, `(part,)`.
        covariance: Of `unit_s`, each relative to itself, `(part, part)`.
        layer_s: Seconds to compile a layer.
        count: How many replicates were measured; 0: all is assumed.
        sizes: Of how many operations their epochs were, in powers of two, the smallest first.
    """

    device: Device | None = None
    unit_s: Amounts = field(default_factory=lambda: np.array(list(PARTS.values())))
    covariance: NDArray[np.float64] = field(default_factory=lambda: DEVICE_SD**2 + UNIT_SD**2 * np.eye(len(PARTS)))
    layer_s: float = LAYER_S
    count: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def measured(self) -> bool:
        """Say whether any of it was measured."""
        return self.count > 0

    def epoch_s(self, trial: Trial) -> float:
        """Estimate the seconds of an epoch, its validation included."""
        return float(np.array(trial.amounts) @ self.unit_s)

    def replicate_s(self, trial: Trial) -> float:
        """Estimate the seconds of all epochs of a replicate, if it does not stop early."""
        return trial.epochs * self.epoch_s(trial)

    def compile_s(self, trial: Trial) -> float:
        """Estimate the seconds to build and compile a trial, once for all its seeds on a worker."""
        return BUILDING * self.layer_s * (trial.compiled + EXTRA_LAYERS)

    def factor(self, work: Iterable[tuple[Trial, int]]) -> float:
        """Return the factor within which the estimate of trials, each with so many seeds, most likely is (9 of 10)."""
        amounts = sum((seeds * t.epochs * np.array(t.amounts) for t, seeds in work), np.zeros(len(PARTS)))
        seconds = amounts * self.unit_s
        if not seconds.any():
            return 1.0
        shares = seconds / seconds.sum()
        return math.exp(NINE_OF_TEN * math.sqrt(float(shares @ self.covariance @ shares) + MODEL_SD**2))

    def beyond(self, work: Iterable[tuple[Trial, int]]) -> float:
        """Return how many times larger the largest epochs of trials are than the largest measured ones, at least 1."""
        if not self.sizes:
            return 1.0
        largest = max((t.cost_flops / t.epochs for t, _ in work), default=0.0)
        return max(1.0, largest / 2.0 ** (self.sizes[-1] + 1))


def fitted(sums: Sums, device: Device | None = None) -> Speed:
    """Fit what units cost on a device to what was measured there; without measurements all is as assumed.

    First the whole device's speed; then each part's, from there, as far as measurements tell.
    """
    if sums.count <= 0 or not sums.amounts.any():
        return Speed()
    told = sums.times(min(1.0, TELLING / sums.count))
    assumed = np.array(list(PARTS.values()))
    products, amounts = told.products * np.outer(assumed, assumed), told.amounts * assumed
    speed = float(amounts.sum() / products.sum())
    products, amounts = products * speed**2, amounts * speed
    noise = MODEL_SD**2 / UNIT_SD**2
    matrix, target = products + noise * np.eye(len(PARTS)), amounts + noise
    units = _least_squares(matrix, target)
    misfit = max(0.0, float(told.count - 2 * units @ amounts + units @ products @ units)) / told.count
    covariance = max(misfit, MODEL_SD**2) * np.linalg.inv(matrix) / np.outer(units, units)
    layer_s = (sums.compile_s + LAYER_S * speed) / (sums.layers + 1.0)
    seen = tuple(sorted(k for k, count in sums.sizes.items() if count >= 0.5))
    return Speed(device, units * speed * assumed, covariance, layer_s, max(1, round(sums.count)), seen)


def _least_squares(matrix: NDArray[np.float64], target: Amounts) -> Amounts:
    """Solve for the units, none below `LEAST`: one after the other, which converges for every such matrix."""
    units = np.ones(len(target))
    for _ in range(1000):
        before = units.copy()
        for part in range(len(units)):
            others = matrix[part] @ units - matrix[part, part] * units[part]
            units[part] = max(LEAST, (target[part] - others) / matrix[part, part])
        if np.abs(units - before).max() < 1e-9:
            break
    return units


class SpeedMeter:
    """Learns how fast workers train: the usual epoch tells what work costs, the first one what compiling does.

    Args:
        speed: What is expected until something is measured, and what costs are told in.
    """

    def __init__(self, speed: Speed | None = None) -> None:
        self._speed = speed or Speed()
        self._modelled = self._seconds = 0.0  # of every replicate's usual epoch
        self._compile_modelled = self._compile_s = 0.0
        self._sums: dict[Device | None, Sums] = {}

    def add(self, trial: Trial, epoch_s: Sequence[float], *, compiled: bool, device: Device | None = None) -> None:
        """Take the seconds of a replicate's epochs.

        Args:
            trial: What it belongs to.
            epoch_s: Seconds of the epochs that its worker trained, the first one first.
            compiled: The first one includes compilation.
            device: What it was trained on, where that is known.
        """
        if len(epoch_s) < 2:
            return
        usual = statistics.median(epoch_s[1:])
        if not usual > 0:
            return
        compile_s = max(0.0, epoch_s[0] - usual) if compiled else None
        found = measured_sums(trial, usual, compile_s)
        self._sums[device] = self._sums[device] + found if device in self._sums else found
        self._modelled += usual * float(found.amounts @ self._speed.unit_s)
        self._seconds += usual
        if compile_s is not None:
            self._compile_modelled += self._speed.compile_s(trial)
            self._compile_s += BUILDING * compile_s

    @property
    def sums(self) -> Mapping[Device | None, Sums]:
        """What was measured, by device."""
        return dict(self._sums)

    def cost_s(self, trial: Trial, epoch_s: Sequence[float]) -> float:
        """Return what a replicate costs by its measured epochs, in seconds at the speed that was assumed.

        Like the model's, so that it can be compared with trials of which nothing is measured yet.
        """
        if len(epoch_s) < 2 or not self._seconds:
            return self._speed.replicate_s(trial)
        return statistics.median(epoch_s[1:]) * trial.epochs * self._modelled / self._seconds

    def compile_cost_s(self, trial: Trial) -> float:
        """Return what compiling a trial costs, in the same seconds."""
        modelled = self._speed.compile_s(trial)
        if not self._compile_modelled or not self._seconds:
            return modelled
        return modelled * (self._compile_s / self._compile_modelled) * (self._modelled / self._seconds)
