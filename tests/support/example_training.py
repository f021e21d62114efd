"""A training as it could have been: clusters with predictions, and the stages of three seeds. Nothing is trained."""

import functools

import numpy as np

from clustersweep.report.model.page import TrainingPage
from clustersweep.training.evaluation.calibration import recalibration
from clustersweep.training.evaluation.evaluation import evaluate
from clustersweep.training.evaluation.results import Clusters, OutlierRegions, Predictions, StageName, StageResult

SEEDS = (0, 1, 2)


def example_clusters(number: int, seed: int) -> Clusters:
    """A flux-limited survey: the farther, the heavier; counts follow mass and redshift, above a background."""
    rng = np.random.default_rng(seed)
    redshift = np.clip(rng.gamma(2.2, 0.16, number), 0.02, 1.3)
    log_mass = 13.55 + 1.1 * redshift**0.8 + rng.normal(0, 0.28, number)
    flux = 1.5 * (log_mass - 14) - 2.2 * np.log10(redshift / 0.3) + rng.normal(0, 0.3, number)
    counts = rng.poisson(350 + 60 * 10**flux).astype(float)
    # The centre: with less of the background, and half of the cluster.
    return Clusters(
        log_mass, redshift, counts, np.random.default_rng(seed + 90).poisson(6 + 30 * 10**flux).astype(float)
    )


def example_predictions(number: int, seed: int, *, narrow: float = 0.85) -> Predictions:
    """What a good network says: drawn towards what the redshift lets expect, tails, too sure of itself by `narrow`."""
    clusters, rng = example_clusters(number, seed), np.random.default_rng(seed + 50)
    expected, spread = 13.55 + 1.1 * clusters.redshift**0.8, 0.28
    noise = 0.13 + 0.25 / np.sqrt(clusters.counts / 400) * rng.uniform(0.3, 1.0, number) * clusters.redshift**0.5
    measured = clusters.log_mass + noise * rng.standard_t(6, number) * np.sqrt(4 / 6)
    share = spread**2 / (spread**2 + noise**2)
    return Predictions(clusters, expected + share * (measured - expected), narrow * np.sqrt(share) * noise)


def example_stages(validation: Predictions) -> tuple[StageResult, ...]:
    """Four stages of three seeds; the second seed's retraining does not improve."""
    return tuple(result for seed in SEEDS for result in _stages_of(seed, validation))


def _stages_of(seed: int, validation: Predictions) -> list[StageResult]:
    rng = np.random.default_rng(seed)
    best = float(np.mean((validation.predicted - validation.clusters.log_mass) ** 2)) * (1.04 + 0.03 * seed)
    results = []
    plan: list[tuple[StageName, int, float, bool]] = [
        ("base", 140 + 20 * seed, 1.0, True), ("outliers", 30, 1.01 if seed == 1 else 0.985, seed != 1),
        ("probabilistic", 60, 0.99, True), ("fine_tune", 25, 0.975, True),
    ]  # fmt: skip
    start = None
    for stage, epochs, share, kept in plan:
        first = 0.16 if start is None else 1.03 * start
        epoch = np.arange(epochs)
        loss = first + (0.9 * best - first) * (1 - np.exp(-epoch / (epochs / 5))) + rng.normal(0, 0.0003, epochs)
        val_loss = loss + 0.1 * best + np.abs(rng.normal(0, 0.0012, epochs)) + 0.00002 * np.maximum(0, epoch - 90)
        val_loss += share * best - val_loss.min()
        likely = stage in ("probabilistic", "fine_tune")
        nll = 0.5 * np.log(2 * np.pi * loss) + 0.45 + 0.3 * np.exp(-epoch / 4) * (stage == "probabilistic")
        val_nll = nll + 0.06 + np.abs(rng.normal(0, 0.01, epochs))
        place = int(np.argmin(val_nll if likely else val_loss))
        results.append(
            StageResult(
                stage=stage, seed=seed, kept=kept, val_loss=float(val_loss[place]),
                val_nll=float(val_nll[place]) if likely else None, best_epoch=place + 1, epochs=epochs,
                seconds=epochs * 1.3, curve=tuple(zip(loss.tolist(), val_loss.tolist(), strict=True)),
                nll_curve=tuple(zip(nll.tolist(), val_nll.tolist(), strict=True)) if likely else (),
                regions=_regions(seed, validation) if stage == "outliers" else None,
            )
        )  # fmt: skip
        start = float(val_loss[place]) if kept else start
    return results


def _regions(seed: int, validation: Predictions) -> OutlierRegions:
    truth = validation.clusters.log_mass
    edges = np.quantile(truth, np.linspace(0, 1, 11))
    place = np.digitize(truth, edges[1:-1])
    square = (validation.predicted - truth) ** 2
    before = np.array([square[place == number].mean() for number in range(10)]) * (1 + 0.05 * seed)
    worst = tuple(sorted(int(number) for number in np.argsort(before)[-2:]))
    after = before * np.where(np.isin(np.arange(10), worst), 0.9, 1.05 if seed == 1 else 1.01)
    inside = int(np.isin(place, worst).sum())
    return OutlierRegions(
        tuple(edges.tolist()), worst, tuple(before.tolist()), tuple(after.tolist()), inside, len(truth) - inside
    )


@functools.cache
def example_page(train: int = 5085, validation: int = 1271, test: int = 1590, *, resamples: int = 1000) -> TrainingPage:
    """A page as `train` would write it; made once, as many files of tests ask for it."""
    predictions = example_predictions(validation, 2), example_predictions(test, 3)
    found = evaluate(
        example_clusters(train, 1), *predictions, factor=recalibration(predictions[0]), seed=0, resamples=resamples
    )  # fmt: skip
    facts = {
        "data": "simulated survey: 7,946 clusters, seed 42, 50 × 50 pixels × 10 bands",
        "network": "3 blocks of 1 convolution, 3 × 3, 10 filters and 10 more in each block; 1 dense layer of 64",
        "redshift": "head: joined after the last hidden layer",
        "augmentation": "flip_rotate",
        "loss": "mean squared error, then Gaussian likelihood",
        "seeds": "0, 1, 2",
        "time": "1 h 12 min on 2 CPU cores",
        "data digest": "4f2a9c1be07d5531",
        "commit": "b17a9ac",
        "versions": "clustersweep 0.1.0, tensorflow 2.21.0, keras 3.15.1, numpy 2.4.6",
    }
    commands = {
        "Train it again": "clustersweep train best/config.yaml --to model/",
        "Predict masses": "clustersweep predict model/ images.fits --catalogue catalogue.fits --to masses.fits",
    }
    return TrainingPage(
        title="combined", facts=facts, stages=example_stages(predictions[0]), evaluation=found, test=predictions[1],
        commands=commands,
    )  # fmt: skip


def stage(name: str, seed: int = 0, *, kept: bool = True, loss: float = 0.05, nll: float | None = None) -> StageResult:
    """Give a stage of two epochs."""
    return StageResult(
        name, seed, kept, loss, nll, 2, 2, 3.0, ((0.2, 0.1), (0.04, loss)),  # type: ignore[arg-type]
        () if nll is None else ((0.3, 0.4), (0.1, nll)),
    )  # fmt: skip
