"""Export: what is chosen, what is written, and the proof by reloading."""

import dataclasses
import io
import json
import os

import numpy as np
import pytest
import yaml
from command_line import typed
from example_results import fail_trial, grid_results
from rich.console import Console
from small_study import small_plan, write_study
from tf32 import emulated_tf32

from clustersweep.display.tables import print_evidence
from clustersweep.errors import ConfigurationError, NothingCompleteError, StorageError
from clustersweep.masses.export import Proof, configuration_of, evidence_of, export
from clustersweep.report.sweep.verdict import verdict
from clustersweep.study.events import Device
from clustersweep.study.objective import ObjectiveSpec
from clustersweep.study.ranking import choose
from clustersweep.study.results import CompleteReplicate, SweepResults, TrialResult, TrialState
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.training.data import prepare
from clustersweep.training.files.checkpoint import unpack_weights
from clustersweep.training.files.configuration import (
    MOST_LISTED,
    FailedSeed,
    Tie,
    configuration_yaml,
    load_configuration,
)
from clustersweep.training.metric import VAL_LOSS
from clustersweep.training.spec import ProbabilisticSpec


def test_the_best_trial_is_chosen_and_others_by_rank_or_number():
    results = grid_results()
    best, second = results.ranked()[:2]
    assert choose(results) == (best, 1)
    assert choose(results, rank=2) == (second, 2)
    assert choose(results, number=second.number) == (second, 2)


def test_an_export_of_what_is_not_complete_is_an_error_that_says_what_there_is():
    results = fail_trial(grid_results(), 0)
    with pytest.raises(
        NothingCompleteError, match="rank 99 asked for, but 'efeds-grid' has 53 complete trials. Give a"
    ):
        choose(results, rank=99)
    with pytest.raises(NothingCompleteError, match="trial 0 of 'efeds-grid' is not complete"):
        choose(results, number=0)
    empty = dataclasses.replace(results, trials=())
    with pytest.raises(NothingCompleteError, match="no trial of 'efeds-grid' is complete, .* Launch the study first"):
        choose(empty)


def evidence(results, rank=1):
    return evidence_of(results, results.ranked()[rank - 1], rank, ObjectiveSpec())


def printed(found):
    said = io.StringIO()
    print_evidence(found, "best", Console(width=80, file=said))
    return said.getvalue()


def test_the_evidence_of_the_best_has_the_ties_that_the_report_has():
    results, judged = grid_results(), verdict(grid_results())
    found = evidence(results)
    assert (found.trial, found.rank, found.of, found.value) == (judged.best.number, 1, 54, judged.best.value)
    assert found.ties == tuple(Tie(trial=t.number, value=t.value) for t in judged.ties)
    assert len(found.ties) > 1
    assert found.margin == judged.margin
    assert found.seeds == {seed: r.value for seed, r in judged.best.replicates.items()}
    assert found.seeds[found.weights_of_seed] == min(found.seeds.values())
    assert found.objective == "mean of val_loss over the seeds, dex^2"


def test_the_ties_of_another_rank_lie_on_both_sides_of_it():
    found = evidence(grid_results(), rank=4)
    assert {tie.value < found.value for tie in found.ties} == {True, False}
    assert all(abs(tie.value - found.value) < found.margin for tie in found.ties)
    assert found.trial not in {tie.trial for tie in found.ties}


def test_with_one_seed_nothing_is_tied_and_the_margin_is_unknown():
    found = evidence(grid_results(seeds=(0,)))
    assert (found.margin, found.ties) == (None, ())
    assert "one seed: nothing can be said about ties. More `seeds` in the study" in printed(found)


def test_failed_seeds_are_in_the_evidence_and_a_seed_that_is_not_trained_yet_has_no_loss():
    results = fail_trial(fail_trial(grid_results(), 3), 0)
    found = evidence(dataclasses.replace(results, seeds=(0, 1, 2, 5)))
    assert found.failed_seeds == tuple(FailedSeed(trial=n, seed=2, reason="NonFiniteLoss") for n in (0, 3))
    assert found.seeds[5] is None
    assert found.of == 52


def test_what_is_printed_names_the_ties_and_what_failed():
    results = fail_trial(grid_results(), 0)
    best, second = results.ranked()[:2]
    found = dataclasses.replace(evidence(results), margin=0.002, ties=(Tie(trial=second.number, value=0.05),))
    text = printed(found)
    assert text.startswith(f"best/: trial {best.number} (rank 1 of 53): filters=")
    assert f"\ntied: 1 trial, {second.number} (0.0500) within the noise of the seeds, 0.0020 dex² around " in text
    assert "`clustersweep report` shows what they have in common; --trial N exports another\n" in text
    assert "\nfailed: 1 replicate, 0 (seed 2: NonFiniteLoss); a trial without all of its seeds is not ranked. " in text
    assert "`clustersweep launch` tries them again\n" in text
    quiet = printed(dataclasses.replace(found, ties=(), failed_seeds=()))
    assert len(quiet.splitlines()) == 1


def test_long_lists_are_cut_in_the_file_and_on_the_screen():
    results = grid_results()
    many = [TrialResult(n, {"a": n}, TrialState.COMPLETE, 0.1, results.trials[0].replicates) for n in range(99)]
    found = evidence(dataclasses.replace(results, trials=tuple(many)))
    assert len(found.ties) == MOST_LISTED
    assert "tied: 50 or more trials, 1 (0.1000), 2 (0.1000), 3 (0.1000), 4 (0.1000), 5 (0.1000), ... within" in printed(
        found
    )


def small_data():
    chance, rows = np.random.default_rng(1), np.arange(20)
    images = chance.poisson(3.0, (20, 12, 12, 10)).astype(np.uint8)
    labels = (chance.normal(14, 0.3, 20), chance.uniform(0.1, 0.8, 20))
    return prepare(images, *labels, train=rows[:12], validation=rows[12:], transform="sqrt")


@pytest.mark.parametrize(("loss", "stage"), [("mse", ProbabilisticSpec()), ("nll", None)])
def test_an_exported_configuration_adds_a_variance_where_there_is_none_and_is_read_back(tmp_path, loss, stage):
    plan = small_plan(tmp_path, training={"loss": loss})
    data = small_data()
    trial = TrialResult(0, plan.trials[0].params, TrialState.COMPLETE, 0.1)
    found = configuration_of(plan, trial, data, seeds=(0, 1), evidence=evidence(grid_results()))
    assert (found.probabilistic, found.outliers) == (stage, None)
    assert (found.network, found.training) == plan.trials[0].spec
    assert (found.data, found.data_digest, found.image_shape) == (plan.study.task.data, "data-digest", (12, 12, 10))
    (tmp_path / "config.yaml").write_bytes(configuration_yaml(found))
    assert load_configuration(tmp_path / "config.yaml") == found


def test_a_configuration_that_a_person_has_edited_is_not_replaced_unless_told_so(tmp_path):
    plan, data, results = small_plan(tmp_path), small_data(), grid_results()
    chosen = results.ranked()[0]
    trial = dataclasses.replace(chosen, params=plan.trials[0].params)
    to = tmp_path / "best"

    def attempt(**options):
        export(plan, results, trial, 1, data=data, files=RunFolder(tmp_path / "run"), to=to, **options)

    to.mkdir()
    evidence_ = evidence_of(results, trial, 1, plan.study.objective)
    own = configuration_yaml(configuration_of(plan, trial, data, seeds=results.seeds, evidence=evidence_))
    (to / "config.yaml").write_bytes(own + b"# edited\n")
    with pytest.raises(ConfigurationError, match="differs from what would be written: it was edited, or is") as info:
        attempt()
    assert str(info.value).endswith("Write to another folder with --to, or replace it with --force.")
    assert info.value.exit_code == 2
    # Past that, it misses the weights, which this test has none of.
    with pytest.raises(StorageError, match="are not below"):
        attempt(force=True)
    assert (to / "config.yaml").read_bytes() == own + b"# edited\n"
    (to / "config.yaml").write_bytes(own)
    with pytest.raises(StorageError, match="are not below"):
        attempt()
    (to / "config.yaml").unlink()
    (to / "config.yaml").mkdir()
    with pytest.raises(StorageError, match="config.yaml cannot be read: Is a directory. Choose another --to"):
        attempt()


def test_the_results_need_no_axis_to_be_ranked():
    assert SweepResults("s", "d", {}, (), (), metric=VAL_LOSS).ranked() == ()


@pytest.fixture(scope="module")
def exported(embedded_home, tmp_path_factory):
    """Launch the small study and export its best trial, from the command line."""
    folder = tmp_path_factory.mktemp("export")
    study = write_study(folder, study="exported")
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(embedded_home.path)}
    for words in (["launch", "--in-process", study], ["export", study, "--to", folder / "best"]):
        done = typed(*words, env=env)
        assert done.returncode == 0, done.stderr
    assert "recorded" in done.stdout
    return folder, env, done


@pytest.mark.integration
def test_an_export_holds_the_configuration_the_weights_and_the_provenance(exported):
    folder, _, _ = exported
    config = yaml.safe_load((folder / "best" / "config.yaml").read_text())
    assert load_configuration(folder / "best" / "config.yaml").evidence.trial == config["evidence"]["trial"]
    assert (config["format"], config["version"]) == ("clustersweep-training", 1)
    assert (config["outliers"], config["probabilistic"]["epochs"]) == (None, ProbabilisticSpec().epochs)
    assert config["network"]["kernel_size"] == config["evidence"]["params"]["kernel_size"]
    assert config["evidence"]["rank"] == 1
    assert set(config["evidence"]["seeds"]) == {0, 1}
    assert config["evidence"]["value"] == pytest.approx(np.mean(list(config["evidence"]["seeds"].values())))
    assert len(config["scaling"]["band_mean"]) == 10
    provenance = json.loads((folder / "best" / "provenance.json").read_text())
    assert provenance["study_digest"] == config["evidence"]["study_digest"]
    assert provenance["data_digest"] == config["data"]["digest"]
    assert {"tensorflow", "keras", "numpy", "optuna", "ray"} <= set(provenance["versions"])


@pytest.mark.integration
def test_the_reloaded_network_gives_the_recorded_validation_loss_to_the_last_bit(exported):
    folder, _, _ = exported
    verified = json.loads((folder / "best" / "provenance.json").read_text())["verified"]
    assert verified["reloaded_val_loss"] == verified["recorded_val_loss"]
    config = yaml.safe_load((folder / "best" / "config.yaml").read_text())
    assert verified["recorded_val_loss"] == min(config["evidence"]["seeds"].values())
    assert verified["seed"] == config["evidence"]["weights_of_seed"]


@pytest.mark.integration
def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(exported):
    folder, env, _ = exported
    study, blocked = folder / "small.yaml", folder / "blocked"
    blocked.write_text("a file")
    done = typed("export", study, "--to", blocked, env=env)
    assert done.returncode == 3
    assert "blocked" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_an_edited_study_file_is_refused_by_what_reads_results_with_a_diff(exported, tmp_path):
    _, env, _ = exported
    edited = write_study(tmp_path, study="exported", training={"epochs": 9})
    for verb in ("status", "report", "export"):
        done = typed(verb, edited, env=env)
        assert done.returncode == 2
        assert "training.epochs: 3 -> 9" in done.stderr


@pytest.mark.integration
def test_an_export_over_an_edited_one_needs_force(exported):
    folder, env, _ = exported
    command = ["export", folder / "small.yaml", "--to", folder / "best"]
    config = folder / "best" / "config.yaml"
    before = config.read_text()
    config.write_text(before + "# edited\n")
    for words, code, left in (([], 2, before + "# edited\n"), (["--force"], 0, before), ([], 0, before)):
        done = typed(*command, *words, env=env)
        assert (done.returncode, config.read_text()) == (code, left), done.stderr
    assert sorted(os.listdir(folder / "best")) == ["config.yaml", "model.keras", "provenance.json"]


@pytest.mark.integration
def test_weights_that_are_not_those_of_the_sweep_are_not_exported(exported, embedded_home):
    folder, env, _ = exported
    best = {path.name: path.read_bytes() for path in (folder / "best").iterdir()}
    weights = embedded_home.run("exported") / "weights"
    for path in weights.iterdir():
        with np.load(path) as file:
            arrays = {name: file[name] + 0.5 for name in file.files}
        np.savez(path, **arrays)
    command = ["export", folder / "small.yaml", "--to", folder / "other"]
    done = typed(*command, env=env)
    assert done.returncode == 3
    assert "the weights or the data are not those of the sweep" in done.stderr
    assert not (folder / "other").exists()
    over = typed(*command[:-1], folder / "best", env=env)
    assert over.returncode == 3
    assert {path.name: path.read_bytes() for path in (folder / "best").iterdir()} == best
    for path in weights.iterdir():
        path.write_bytes(b"damaged")
    done = typed(*command, env=env)
    assert done.returncode == 3
    assert "are damaged" in done.stderr
    assert "Traceback" not in done.stderr
    for path in weights.iterdir():
        path.unlink()
    done = typed(*command, env=env)
    assert done.returncode == 3
    assert "They stay on the machine that launched the sweep: export there, with the same --home" in done.stderr


CPU = Device("CPU", "a model", 1, "float32", deterministic=True)
GPU = Device("GPU", "NVIDIA A100", 1, "float32", deterministic=True)


@pytest.mark.parametrize(
    ("trained_on", "tolerance"),
    [
        ((CPU,), 1e-5),
        ((CPU, dataclasses.replace(CPU, model="another", threads=8)), 1e-5),
        ((GPU,), 3e-3),
        ((CPU, GPU), 3e-3),
        ((dataclasses.replace(GPU, precision="tf32"),), 3e-3),
        ((), 3e-3),
    ],
)
def test_the_proof_is_as_close_as_the_devices_allow_and_says_what_was_compared(trained_on, tolerance):
    assert Proof(1.0, 1.0 + 0.99 * tolerance, trained_on, CPU).holds
    assert not Proof(1.0, 1.0 - 1.01 * tolerance, trained_on, CPU).holds
    assert not Proof(1.0, float("nan"), trained_on, CPU).holds
    assert str(Proof(0.5, 0.5, trained_on, CPU)).startswith(
        f"val_loss 0.500000 recorded, 0.500000 reloaded, equal within {tolerance:g} of it (trained on "
    )
    on_gpu = Proof(0.5, 0.50001, (GPU,), CPU)
    assert str(on_gpu) == (
        "val_loss 0.500000 recorded, 0.500010 reloaded, equal within 0.003 of it "
        "(trained on GPU in float32, recomputed on CPU in float32)"
    )
    assert "trained on a device that was not recorded" in str(Proof(0.5, 0.5, (), CPU))


@pytest.mark.integration
def test_a_sweep_that_was_trained_in_tf32_is_exported_on_a_cpu_and_another_seeds_weights_are_not(tmp_path):
    from clustersweep.training.device import configure_device
    from clustersweep.training.engine import DeviceData, Trainer

    configure_device(1)
    plan, data, files = small_plan(tmp_path, training={"epochs": 6}), small_data(), RunFolder(tmp_path / "run")
    planned = plan.trials[0]
    with emulated_tf32():
        trainer = Trainer(*planned.spec, DeviceData(data))
        best, other = sorted((list(trainer.replicate(seed))[-1] for seed in (0, 1)), key=lambda end: end.val_loss)
    exact = Trainer(*planned.spec, DeviceData(data)).validation_loss(unpack_weights(best.weights))
    assert 1e-5 < abs(exact / best.val_loss - 1) < 1.5e-3  # what was refused before

    gpu = Device("GPU", "NVIDIA A100", 1, "tf32", deterministic=True)
    done = CompleteReplicate(0, best.val_loss, best.best_epoch, 6, 1.0, "worker", devices=(gpu,))
    trial = TrialResult(0, planned.params, TrialState.COMPLETE, best.val_loss, {0: done})
    results = SweepResults("small", plan.digest, plan.study.axes, (0,), (trial,), metric=VAL_LOSS)
    key = plan.replicate(planned, 0).key
    files.save_weights(key, best.weights)
    exported = export(plan, results, trial, 1, data=data, files=files, to=tmp_path / "best")
    assert "trained on GPU in tf32, recomputed on CPU in float32" in str(exported.proof)
    verified = json.loads((tmp_path / "best/provenance.json").read_text())["verified"]
    assert (verified["trained_on"], verified["tolerance"]) == ([vars(gpu)], 3e-3)
    assert (verified["recomputed_on"]["kind"], verified["recomputed_on"]["precision"]) == ("CPU", "float32")
    files.save_weights(key, other.weights)
    with pytest.raises(StorageError, match=r"must be equal within 0.003 of it: the weights or the data are not those"):
        export(plan, results, trial, 1, data=data, files=files, to=tmp_path / "wrong")
