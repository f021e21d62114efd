"""One training from a configuration to a model folder: stages for each seed, their ensemble, what it is worth.

The report is drawn by whoever calls; here are only numbers.
"""

import csv
import io
import json
import math
import textwrap
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.errors import ConfigurationError, NothingCompleteError, Problem
from clustersweep.files import write_atomically
from clustersweep.study.events import Failed
from clustersweep.study.task import Infeasible
from clustersweep.survey.agreement import CENTRAL_RADIUS, within
from clustersweep.survey.catalogue import LARGEST_REDSHIFT
from clustersweep.survey.dataset import Dataset, chunks
from clustersweep.survey.split import Split, make_split
from clustersweep.training.data import Scaling, parts_of
from clustersweep.training.ensemble import Ensemble, Prediction
from clustersweep.training.evaluation.calibration import recalibration
from clustersweep.training.evaluation.evaluation import Evaluation, evaluate
from clustersweep.training.evaluation.results import Clusters, Predictions, StageResult, as_json
from clustersweep.training.files.checkpoint import Arrays
from clustersweep.training.files.configuration import Configuration
from clustersweep.training.files.known_clusters import clusters_csv
from clustersweep.training.files.model_folder import CLUSTERS, CONFIGURATION, LONGEST_NOTE, TrainedModel, write_model
from clustersweep.training.files.work_folder import WORK, WorkFolder, claim
from clustersweep.training.network import layers
from clustersweep.training.stages import Recipe, StageEnded, Stages, TrainingEvent

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"


@dataclass(frozen=True)
class TrainingRun:
    """What a training came to.

    Attributes:
        stages: Every stage of every seed, in the order of the seeds.
        failed: Why a seed failed; its network is not in the ensemble.
        evaluation: How good the ensemble is.
        validation: The validation part with the ensemble's predictions.
        test: The test part, the same.
        model: What `predict` uses.
        digest: The model's digest.
    """

    stages: tuple[StageResult, ...]
    failed: Mapping[int, str]
    evaluation: Evaluation
    validation: Predictions
    test: Predictions
    model: TrainedModel
    digest: str


def train(
    configuration: Configuration,
    dataset: Dataset,
    folder: Path,
    *,
    provenance: Mapping[str, str] | None = None,
    on_event: Callable[[TrainingEvent], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_every_s: float = 10.0,
) -> TrainingRun | None:
    """Train every seed through all stages, judge their ensemble, and write the model folder.

    What an earlier call with the same configuration has done is not done again. The test part is looked at once,
    when everything is decided: the validation part has chosen epochs, outlier regions and the recalibration.

    Args:
        configuration: What to train.
        dataset: The data it names, rebinned.
        folder: The model folder, made if missing.
        provenance: What to write down of the program and the machine.
        on_event: Called with what happens.
        stop: Asked after each epoch; when true, a checkpoint is kept and None is returned.
        checkpoint_every_s: Least time between two checkpoints.

    Raises:
        ConfigurationError: The data are not those of the configuration.
        DataError: The folder holds something else.
        StorageError: The folder cannot be written.
        NothingCompleteError: Every seed failed.
    """
    split = make_split(len(dataset), configuration.split, dataset.identifiers)
    data = parts_of(dataset, split, configuration.data.transform)
    _require_same_data(configuration, dataset, data.scaling)
    _require_feasible(configuration, dataset)
    configuration = replace(
        configuration, scaling=data.scaling, data_digest=dataset.digest, image_shape=dataset.image_shape
    )
    claim(folder, configuration)
    recipe = Recipe(configuration.network, configuration.training, configuration.outliers, configuration.probabilistic)
    stages = Stages(recipe, data)
    results: list[StageResult] = []
    members: dict[int, Arrays] = {}
    failed: dict[int, str] = {}
    for seed in configuration.seeds:
        store = WorkFolder(folder / WORK, seed)
        running = _results(stages.run(seed, store, stop=stop, checkpoint_every_s=checkpoint_every_s), on_event)
        weights, own, failure = running
        results += own
        if failure is not None:
            failed[seed] = failure.message
        elif weights is None:
            return None
        else:
            members[seed] = weights
    if not members:
        reasons = "; ".join(f"seed {seed}: {why}" for seed, why in failed.items())
        raise NothingCompleteError(f"every seed failed ({reasons}). Change the configuration and train again")
    known = _clusters(dataset, split.train)
    model = _model(
        configuration, recipe, dataset, known, members=members, results=results, provenance=dict(provenance or {})
    )
    return _finish(model, dataset, split, known, folder, stages=tuple(results), failed=failed)


def _model(
    configuration: Configuration,
    recipe: Recipe,
    dataset: Dataset,
    train: Clusters,
    *,
    members: Mapping[int, Arrays],
    results: list[StageResult],
    provenance: dict[str, str],
) -> TrainedModel:
    """Return the model before recalibration."""
    if configuration.scaling is None:
        raise ValueError("the scaling is fitted before")
    last = {result.seed: result for result in results if result.kept}
    redshift, counts = train.redshift[np.isfinite(train.redshift)], train.counts
    # A network that takes none can be trained without any redshift: then none is unusual.
    redshift = redshift if redshift.size else np.array([0.0, LARGEST_REDSHIFT])
    return TrainedModel(
        network=configuration.network,
        outputs=recipe.outputs,
        scaling=configuration.scaling,
        image_shape=dataset.image_shape,
        rebin=configuration.data.rebin,
        bands_kev=dataset.bands_kev,
        is_counts=dataset.is_counts,
        redshift_range=(float(redshift.min()), float(redshift.max())),
        counts_range=(float(counts.min()), float(counts.max())),
        recalibration=1.0,
        seeds=tuple(members),
        members=tuple(members.values()),
        # Without a variance of its own, a network's uncertainty is its error on the validation part.
        constant_sd=() if recipe.outputs == 2 else tuple(math.sqrt(last[seed].val_loss) for seed in members),
        provenance=provenance | _computed_on(results) | {"data_digest": dataset.digest},
    )


def _computed_on(results: list[StageResult]) -> dict[str, str]:
    """Say what computed the stages; nothing where an older version computed one."""
    if not all(result.devices for result in results):
        return {}
    devices = dict.fromkeys(device for result in results for device in result.devices)
    return {"device": textwrap.shorten("; then ".join(map(str, devices)), LONGEST_NOTE)}


def _finish(
    model: TrainedModel,
    dataset: Dataset,
    split: Split,
    train: Clusters,
    folder: Path,
    *,
    stages: tuple[StageResult, ...],
    failed: Mapping[int, str],
) -> TrainingRun:
    """Recalibrate on the validation part, evaluate, and write everything; the manifest comes last."""
    ensemble = Ensemble.of(model)
    rows = {"validation": split.validation, "test": split.test}
    found = {part: ensemble(dataset.images[r], dataset.redshift[r]) for part, r in rows.items()}
    validation, test = (
        Predictions(_clusters(dataset, rows[part]), said.log_mass, said.sd) for part, said in found.items()
    )
    factor = recalibration(validation)
    model = replace(model, recalibration=factor)
    evaluation = evaluate(train, validation, test, factor=factor)
    write_atomically(folder / PREDICTIONS, _predictions(dataset, rows, found, factor, model.seeds), what="predictions")
    metrics: dict[str, Any] = {
        "evaluation": evaluation,
        "members": {
            str(s): _member(n, s, dataset, rows=rows, found=found, stages=stages) for n, s in enumerate(model.seeds)
        },
        "stages": stages,
        "failed": {str(seed): why for seed, why in failed.items()},
    }
    write_atomically(folder / METRICS, (json.dumps(as_json(metrics), indent=2) + "\n").encode(), what="metrics")
    write_atomically(folder / CLUSTERS, clusters_csv(dataset, split), what="list of clusters")
    digest = write_model(model, folder, (CONFIGURATION, CLUSTERS))
    return TrainingRun(stages, failed, evaluation, validation, test, model, digest)


def _results(
    running: Generator[TrainingEvent, None, Arrays | None], on_event: Callable[[TrainingEvent], None]
) -> tuple[Arrays | None, list[StageResult], Failed | None]:
    """Run a seed to its end; gives its weights, its stages and why it failed."""
    found: list[StageResult] = []
    failure: Failed | None = None
    while True:
        try:
            event = next(running)
        except StopIteration as ended:
            return ended.value, found, failure
        on_event(event)
        match event:
            case Failed():
                failure = event
            case StageEnded():
                found.append(event.result)


def _require_same_data(configuration: Configuration, dataset: Dataset, scaling: Scaling) -> None:
    """Refuse data other than those that the configuration was made with, where it says which."""
    problems = []
    remedy = "Give the data of the sweep, or remove `digest`, `image_shape` and `scaling` to train on these."
    if configuration.data_digest not in (None, dataset.digest):
        rule = f"is not the digest of the data, which is {dataset.digest}"
        problems.append(Problem("configuration", "data.digest", str(configuration.data_digest), rule, remedy))
    if configuration.image_shape not in (None, dataset.image_shape):
        rule = f"is not the shape of the images, which is {list(dataset.image_shape)}"
        shape = str(list(configuration.image_shape or ()))
        problems.append(Problem("configuration", "data.image_shape", shape, rule, remedy))
    if configuration.scaling is not None and not problems and not _alike(configuration.scaling, scaling):
        rule = "is not what the training part of these data gives: the file was edited, or its split or transform"
        remedy = "Export again, or remove `scaling`: it is fitted anew."
        problems.append(Problem("configuration", "scaling", "", rule, remedy))
    if problems:
        raise ConfigurationError(problems)


def _require_feasible(configuration: Configuration, dataset: Dataset) -> None:
    """Refuse a network that these images are too small for; their size is known only now where they are a file's."""
    found = layers(configuration.network, dataset.image_shape, outputs=configuration.training.outputs)
    if isinstance(found, Infeasible):
        remedy = "Choose a smaller kernel_size, fewer conv_blocks or padding: same."
        raise ConfigurationError([Problem("configuration", "network", "", found.reason, remedy)])


def _alike(one: Scaling, other: Scaling) -> bool:
    """Compare up to what another machine's sums may differ by."""
    if one.transform != other.transform or len(one.band_mean) != len(other.band_mean):
        return False
    a, b = (np.hstack([value for name, value in vars(s).items() if name != "transform"]) for s in (one, other))
    return bool(np.allclose(a, b, rtol=1e-6, atol=1e-9))


def _clusters(dataset: Dataset, rows: NDArray[np.int64]) -> Clusters:
    """Return what is known of some clusters, their images gone through once, piece by piece."""
    masks = [within(dataset.image_shape, radius) for radius in (math.inf, CENTRAL_RADIUS)]
    sums = np.empty((len(masks), len(rows)))
    for piece in chunks(len(rows), dataset.images[:1].nbytes):
        images = dataset.images[rows[piece]]
        for number, inside in enumerate(masks):
            sums[number, piece] = images[:, inside].sum(axis=(1, 2), dtype=np.float64)
    return Clusters(dataset.log_mass[rows], dataset.redshift[rows], *sums)


def _predictions(
    dataset: Dataset,
    rows: Mapping[str, NDArray[np.int64]],
    found: Mapping[str, Prediction],
    factor: float,
    seeds: tuple[int, ...],
) -> bytes:
    """Write one row for each cluster of the validation and test parts."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    own = [f"log_mass_seed_{seed}" for seed in seeds]
    table.writerow(["part", "row", "identifier", "redshift", "log_mass_true", "log_mass", "log_mass_sd", *own])
    for part, said in found.items():
        for number, row in enumerate(rows[part]):
            values = dataset.redshift[row], dataset.log_mass[row], said.log_mass[number], said.sd[number] * factor
            members = [f"{value:.6f}" for value in said.member_log_mass[:, number]]
            table.writerow([part, row, dataset.identifiers[row], *(f"{value:.6f}" for value in values), *members])
    return text.getvalue().encode()


def _member(
    number: int,
    seed: int,
    dataset: Dataset,
    *,
    rows: Mapping[str, NDArray[np.int64]],
    found: Mapping[str, Prediction],
    stages: tuple[StageResult, ...],
) -> dict[str, float]:
    """Return one network's own mean squared errors, dex^2, beside the ensemble's."""
    square = {
        part: float(np.mean((said.member_log_mass[number] - dataset.log_mass[rows[part]]) ** 2))
        for part, said in found.items()
    }
    seconds = sum(result.seconds for result in stages if result.seed == seed)
    return {"validation_mse": square["validation"], "test_mse": square["test"], "seconds": seconds}
