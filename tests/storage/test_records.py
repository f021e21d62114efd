"""How replicates are written as attributes of their trial, to the byte as the first versions did, and read back."""

import json

import pytest
from optuna.trial import create_trial

from clustersweep.storage.records import curve_attribute, replicate_attribute, replicates
from clustersweep.study.events import Device
from clustersweep.study.results import CompleteReplicate, FailedReplicate

CURVE = ((0.3, 0.2), (0.2, 0.1))
COMPLETE = CompleteReplicate(0, 0.1, 2, 2, 1.5, "host:1", CURVE, resumed=1)
CPU = Device("CPU", "Xeon", 2, "float32", deterministic=True)
OF_ALL = CompleteReplicate(0, 0.1, 2, 2, 1.5, "host:1", CURVE, resumed=1, val_nll=-0.5, devices=(CPU,))
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
}


@pytest.mark.parametrize("text", STORED)
def test_a_replicate_is_stored_byte_for_byte_as_it_was_when_there_was_one_kind(text):
    replicate = STORED[text]
    assert json.dumps(replicate_attribute(replicate)) == f'{{"seed:{replicate.seed}": {text}}}'
    assert json.dumps(curve_attribute(replicate)) == f'{{"curve:{replicate.seed}": [[0.3, 0.2], [0.2, 0.1]]}}'


@pytest.mark.parametrize("text", STORED)
def test_a_stored_replicate_is_read_as_a_complete_or_a_failed_one(text):
    replicate = STORED[text]
    attributes = {f"seed:{replicate.seed}": json.loads(text)}
    curves = json.loads(json.dumps(curve_attribute(replicate)))
    stored = create_trial(value=0.1, user_attrs=attributes, system_attrs=curves)
    assert replicates(stored) == {replicate.seed: replicate}
    assert replicates(stored)[replicate.seed].state == json.loads(text)["state"]


def test_replicates_that_were_stored_before_later_fields_existed_are_read_with_none():
    first = {"seed": 0, "state": "complete", "value": 0.1, "best_epoch": 2, "epochs": 2, "seconds": 1.5, "worker": "w"}
    failed = {**first, "seed": 1, "state": "failed", "value": None, "best_epoch": 0}
    stored = create_trial(value=0.1, user_attrs={"seed:0": first, "seed:1": failed})
    assert replicates(stored) == {
        0: CompleteReplicate(0, 0.1, 2, 2, 1.5, "w"),
        1: FailedReplicate(1, "", "", 2, 1.5, "w"),
    }
