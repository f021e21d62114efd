"""How replicates are written as attributes of their trial, to the byte as the first versions did, and read back."""

import json

import pytest
from optuna.trial import create_trial

from clustersweep.storage.records import curve_attribute, replicate_attribute, replicates, stopped_update, trial_result
from clustersweep.study.events import Device
from clustersweep.study.results import CompleteReplicate, FailedReplicate, PausedReplicate, StoppedAt, TrialState

CURVE = ((0.3, 0.2), (0.2, 0.1))
COMPLETE = CompleteReplicate(0, 0.1, 2, 2, 1.5, "host:1", CURVE, resumed=1)
CPU = Device("CPU", "Xeon", 2, "float32", deterministic=True)
OF_ALL = CompleteReplicate(0, 0.1, 2, 2, 1.5, "host:1", CURVE, resumed=1, val_nll=-0.5, devices=(CPU,))
PAUSED = PausedReplicate(0, 0.1, 2, 1.5, "host:1", CURVE, "9f2b6c01d4e8a7")
FAILED = FailedReplicate(1, "broke\na trace", "RuntimeError", 2, 1.5, "host:1", CURVE)

STORED_COMPLETE = (
    '{"seed": 0, "state": "complete", "value": 0.1, "best_epoch": 2, "epochs": 2, "seconds": 1.5, "worker": "host:1", '
    '"error": "", "signature": "", "resumed": 1'
)
STORED = {
    STORED_COMPLETE + "}": COMPLETE,
    STORED_COMPLETE + ', "val_nll": -0.5, "devices": [{"kind": "CPU", "model": "Xeon", "threads": 2, "precision": '
    '"float32", "deterministic": true}]}': OF_ALL,
    '{"seed": 1, "state": "failed", "value": null, "best_epoch": 0, "epochs": 2, "seconds": 1.5, "worker": "host:1", '
    '"error": "broke\\na trace", "signature": "RuntimeError", "resumed": 0}': FAILED,
    '{"seed": 0, "state": "paused", "value": 0.1, "best_epoch": 0, "epochs": 2, "seconds": 1.5, "worker": "host:1", '
    '"error": "", "signature": "", "resumed": 0, "key": "9f2b6c01d4e8a7"}': PAUSED,
}


@pytest.mark.parametrize("text", STORED)
def test_a_replicate_is_stored_byte_for_byte_as_it_was_when_there_was_one_kind(text):
    replicate = STORED[text]
    assert json.dumps(replicate_attribute(replicate)) == f'{{"seed:{replicate.seed}": {text}}}'
    assert json.dumps(curve_attribute(replicate)) == f'{{"curve:{replicate.seed}": [[0.3, 0.2], [0.2, 0.1]]}}'


@pytest.mark.parametrize("text", STORED)
def test_a_stored_replicate_is_read_as_what_it_was(text):
    replicate = STORED[text]
    attributes = {f"seed:{replicate.seed}": json.loads(text)}
    curves = json.loads(json.dumps(curve_attribute(replicate)))
    stored = create_trial(value=0.1, user_attrs=attributes, system_attrs=curves)
    ended, paused = replicates(stored)
    assert {**ended, **paused} == {replicate.seed: replicate}
    assert bool(paused) == isinstance(replicate, PausedReplicate)
    assert replicate.state == json.loads(text)["state"]


def test_replicates_that_were_stored_before_later_fields_existed_are_read_with_none():
    first = {"seed": 0, "state": "complete", "value": 0.1, "best_epoch": 2, "epochs": 2, "seconds": 1.5, "worker": "w"}
    failed = {**first, "seed": 1, "state": "failed", "value": None, "best_epoch": 0}
    stored = create_trial(value=0.1, user_attrs={"seed:0": first, "seed:1": failed})
    assert replicates(stored) == ({
        0: CompleteReplicate(0, 0.1, 2, 2, 1.5, "w"),
        1: FailedReplicate(1, "", "", 2, 1.5, "w"),
    }, {})  # fmt: skip


@pytest.mark.parametrize(
    ("stopped", "reason"),
    [
        (StoppedAt(3, 8, 21, 0.0812, 0.0644), "rank 8 of 21 after epoch 3: 0.0812, the best had 0.0644"),
        (
            StoppedAt(3, 8, 21, 0.0812, 0.0644, 0.01),
            "rank 8 of 21 after epoch 3: 0.0812, the best had 0.0644, and less than 0.0100 apart is no difference",
        ),
        (StoppedAt(3, 21, 21, None, 0.0644, 0.01), "rank 21 of 21 after epoch 3, as a seed diverged"),
    ],
)
def test_a_stopped_trial_is_stored_with_rung_rank_and_reason_and_read_back(stopped, reason):
    update = stopped_update(stopped)
    attributes = json.loads(json.dumps(dict(update.user_attributes), allow_nan=False))
    assert attributes["stopped"]["reason"] == reason
    found = trial_result(create_trial(state=update.state, user_attrs=attributes))
    assert (found.state, found.stopped, found.infeasible) == (TrialState.STOPPED, stopped, None)
