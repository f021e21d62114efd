"""What a person reads on the screen of a training."""

import dataclasses
import io
import time

import numpy as np
import pytest
from example_training import example_clusters, example_page, example_predictions
from rich.console import Console

from clustersweep.display.training_progress import TrainingDisplay, print_training
from clustersweep.report.model.text import gain_text, verdict_html
from clustersweep.study.events import EpochEnd, Failed
from clustersweep.training.evaluation.evaluation import evaluate
from clustersweep.training.evaluation.metrics import Estimate
from clustersweep.training.evaluation.results import StageResult
from clustersweep.training.stages import StageBegan, StageEnded

EVALUATION = example_page(resamples=100).evaluation


def changed(**changes: object) -> object:
    return dataclasses.replace(EVALUATION, **changes)  # type: ignore[arg-type]


def test_a_model_that_is_no_better_than_the_mean_is_told_first_on_the_screen_and_in_the_report() -> None:
    train, validation, test = example_clusters(400, 1), example_predictions(100, 2), example_predictions(100, 3)
    mean = float(train.log_mass.mean())
    dead = [dataclasses.replace(part, predicted=np.full(100, mean + 0.01)) for part in (validation, test)]
    found = evaluate(train, *dead, factor=1.0, resamples=20)
    found = dataclasses.replace(found, test=dataclasses.replace(found.test, mse=Estimate(found.constant_mse, 0, 1)))
    said = io.StringIO()
    print_training(found, Console(width=80, file=said))
    words = f"{found.constant_mse:.4f} dex², and predicting the mean mass for every cluster gives "
    assert said.getvalue().startswith(f"Nothing was learned: the model, on the test part, has {words}")
    assert f"Nothing was learned: the model has {words}" in verdict_html(found, ())
    good = evaluate(train, validation, test, factor=1.0, resamples=20)
    said = io.StringIO()
    print_training(good, Console(width=80, file=said))
    assert "was learned" not in said.getvalue() + verdict_html(good, ())


def test_a_model_that_is_no_better_than_a_baseline_is_told_on_the_screen_in_the_words_of_the_report() -> None:
    for value, word in ((-0.062, "The model is worse by 0.062 dex"), (-0.005, "The model cannot be told from it")):
        found = changed(gain=Estimate(value, value - 0.01, value + 0.01))
        said = io.StringIO()
        print_training(found, Console(width=80, file=said))
        assert f"\n{gain_text(found)}\n" in said.getvalue()
        assert word in said.getvalue()
    said = io.StringIO()
    print_training(changed(gain=Estimate(0.03, 0.02, 0.04)), Console(width=80, file=said))
    assert "the best of the baselines" not in said.getvalue().lower()


def test_a_model_that_so_few_test_clusters_cannot_tell_from_the_mean_is_told_first_too() -> None:
    train, validation, test = example_clusters(400, 1), example_predictions(100, 2), example_predictions(100, 3)
    mean = float(train.log_mass.mean())
    weak = [
        dataclasses.replace(part, predicted=mean + 0.02 * (part.clusters.log_mass - mean))
        for part in (validation, test)
    ]
    found = evaluate(train, *weak, factor=1.0, resamples=200)
    found = dataclasses.replace(found, test=dataclasses.replace(found.test, r2=Estimate(0.03, -0.01, 0.07)))
    assert found.constant_margin == pytest.approx(0.04 * found.constant_mse)
    said = io.StringIO()
    print_training(found, Console(width=80, file=said))
    words = (
        f" has {found.test.mse.value:.4f} dex², and predicting the mean mass for every cluster gives "
        f"{found.constant_mse:.4f} dex², a difference within the noise of so few clusters "
        f"({found.constant_margin:.4f} dex²)."
    )
    unsure = "It is not sure that anything was learned: the model"
    assert said.getvalue().startswith(f"{unsure}, on the test part,{words}")
    assert f"{unsure}{words}" in verdict_html(found, ())


def test_a_training_is_told_in_lines_where_no_line_can_move() -> None:
    said, told = io.StringIO(), []
    display = TrainingDisplay(Console(file=said, width=120), told.append)
    curve = ((0.2, 0.1), (0.1, 0.05))
    kept = StageResult("base", 3, True, 0.05, None, 2, 2, 120.0, curve, ())
    rejected = StageResult("fine_tune", 3, False, 0.06, -0.25, 1, 2, 9.0, curve, curve)
    events = [
        StageBegan(3, "base", 100), EpochEnd(1, 0.2, 0.1, 1.0), EpochEnd(2, 0.1, 0.05, 1.0), StageEnded(kept, False),
        StageBegan(3, "fine_tune", 20), StageEnded(rejected, True),
        StageBegan(4, "outliers", 20), Failed("NonFiniteLoss", "the loss is [nan] in epoch 3"),
    ]  # fmt: skip
    for event in events:
        display.on_event(event)
    assert said.getvalue().splitlines() == [
        "seed 3 base: val_loss 0.0500 at epoch 2 (2 epochs in 2 min)",
        "seed 3 fine-tuning: val_loss 0.0600, val_nll -0.2500 at epoch 1 (done before); not kept: no improvement",
        "seed 4 failed: NonFiniteLoss: the loss is [nan] in epoch 3",
    ]
    assert told == events


def test_a_long_stage_tells_its_best_epoch_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    display = TrainingDisplay(Console(file=said, width=120))
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    display.on_event(StageBegan(0, "probabilistic", 100))
    for epoch, val_nll in enumerate((0.3, -0.2, 0.1, 0.0), start=1):
        now = 31.0 * epoch
        display.on_event(EpochEnd(epoch, 0.2, 0.1, 31.0, val_nll))
    display.end()
    assert said.getvalue().splitlines() == [
        f"  seed 0 probabilistic epoch {epoch}: val_nll {now}, best -0.2000 (epoch 2), 31.0 s an epoch"
        for epoch, now in ((2, "-0.2000"), (4, "0.0000"))
    ]
