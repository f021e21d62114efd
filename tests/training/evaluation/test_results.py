"""What a training came to, as JSON for other programs, and a stage that is read back from it."""

import dataclasses
import json
import math

import pytest

from clustersweep.study.events import Device
from clustersweep.training.evaluation.results import OutlierRegions, StageResult, as_json, result_from, result_json

REGIONS = OutlierRegions((13.0, 14.0, 15.0), (1,), (0.1, 0.4), (0.12, 0.3), 20, 80)
DEVICES = (
    Device("CPU", "a CPU", 2, "float32", deterministic=True),
    Device("GPU", "a GPU", 1, "tf32", deterministic=False),
)
STAGE = StageResult("outliers", 3, True, 0.06, None, 2, 3, 12.5, ((0.3, 0.2), (0.2, 0.1)), (), REGIONS, DEVICES)


@pytest.mark.parametrize(
    "stage",
    [
        STAGE,
        dataclasses.replace(STAGE, stage="base", regions=None, devices=()),
        dataclasses.replace(STAGE, stage="probabilistic", val_nll=-0.3, nll_curve=((0.5, math.inf), (0.1, -0.3))),
    ],
    ids=["regions", "plain", "likelihood"],
)
def test_a_stage_comes_back_from_json_with_all_that_it_had(stage):
    back = result_from(json.loads(json.dumps(result_json(stage))))
    assert back == stage
    assert [type(one) for one in back.devices] == [Device] * len(stage.devices)


def test_a_stage_of_an_older_version_that_did_not_tell_its_devices_has_none():
    record = json.loads(json.dumps(result_json(STAGE)))
    del record["devices"]
    assert result_from(record) == dataclasses.replace(STAGE, devices=())


@pytest.mark.parametrize(
    "change", [{"curve": [1, 2]}, {"regions": {"bins": 3}}, {"whatever": 1}, {"nll_curve": [["a", "b"]]}]
)
def test_a_record_that_is_no_stage_is_refused(change):
    with pytest.raises((KeyError, TypeError, ValueError)):
        result_from(result_json(STAGE) | change)
    with pytest.raises(KeyError):
        result_from({})


def test_what_is_not_finite_is_null_for_other_programs_however_deep_it_lies():
    found = as_json({"stage": dataclasses.replace(STAGE, val_loss=math.nan, curve=((0.3, math.inf), (0.2, 0.1)))})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["stage"]["val_loss"] is None
    assert found["stage"]["curve"] == [[0.3, None], [0.2, 0.1]]
    assert found["stage"]["regions"]["before"] == [0.1, 0.4]
    assert (found["stage"]["kept"], found["stage"]["seed"]) == (True, 3)
