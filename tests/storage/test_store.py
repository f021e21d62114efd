"""The same tests on storage in memory and on a real PostgreSQL server over TCP, there in both ways of access."""

import copy
import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.trial import create_trial
from small_study import DROPOUT, small_plan
from stored_trials import complete, replicate, url_of

from clustersweep.errors import StorageError, StudyChangedError
from clustersweep.storage.records import MAX_NOTES, curve_attribute, notes, replicate_attribute, replicates
from clustersweep.storage.store import Storage
from clustersweep.study.events import Device
from clustersweep.study.results import CompleteReplicate, FailedReplicate, LaunchTime
from clustersweep.tasks import tasks

INFEASIBLE = {"kernel_size": 7, "conv_blocks": 2}


def broken(seed):
    return FailedReplicate(seed, "broke", "RuntimeError", 2, 1.5, "host:1", ((0.3, 0.2), (0.2, 0.5)))


def test_all_combinations_are_trials_and_the_impossible_ones_say_why(storage, tmp_path):
    opened = storage.begin(small_plan(tmp_path))
    results = storage.results("small")
    assert [t.state for t in results.trials] == ["infeasible", "waiting", "waiting", "waiting"]
    assert len(opened) == 3
    impossible = results.trials[0]
    assert impossible.params == INFEASIBLE
    assert impossible.infeasible.rule == "kernel_exceeds_input"
    assert impossible.infeasible.trace[0] == ("image", (12, 12, 10))


def test_the_trials_come_in_the_plans_order(storage, tmp_path):
    plan = small_plan(tmp_path)
    assert [t.trial for t in storage.begin(plan)] == list(plan.trials)


def test_a_replicate_is_read_back_as_it_was_written(storage, tmp_path):
    opened = storage.begin(small_plan(tmp_path))[0]
    storage.start(opened)
    written = replicate(1, 0.1 + 1e-17)
    storage.record_replicate(opened, written)
    trial = next(t for t in storage.results("small").trials if t.number == opened.number)
    assert trial.state == "running"
    assert trial.replicates == {1: written}


def test_a_likelihood_is_stored_where_there_is_one_only_and_older_records_have_none():
    without, with_one = replicate(0), dataclasses.replace(replicate(1), val_nll=-0.5)
    assert "val_nll" not in replicate_attribute(without)["seed:0"]
    assert replicate_attribute(with_one)["seed:1"]["val_nll"] == -0.5
    attributes = replicate_attribute(without) | replicate_attribute(with_one)
    curves = curve_attribute(without) | curve_attribute(with_one)
    stored = create_trial(value=0.1, user_attrs=attributes, system_attrs=curves)
    assert replicates(stored) == ({0: without, 1: with_one}, {})


def test_what_computed_a_replicate_is_stored_with_it_and_older_records_have_nothing():
    devices = Device("CPU", "Xeon", 2, "float32", True), Device("GPU", "A100", 1, "tf32", deterministic=False)
    without, with_two = replicate(0), dataclasses.replace(replicate(1), devices=devices)
    assert "devices" not in replicate_attribute(without)["seed:0"]
    attributes = json.loads(json.dumps(replicate_attribute(without) | replicate_attribute(with_two)))
    curves = curve_attribute(without) | curve_attribute(with_two)
    stored = create_trial(value=0.1, user_attrs=attributes, system_attrs=curves)
    assert replicates(stored) == ({0: without, 1: with_two}, {})


def test_a_relaunch_of_a_finished_study_leaves_nothing_to_do(storage, tmp_path):
    plan = small_plan(tmp_path)
    for opened in storage.begin(plan):
        complete(storage, opened)
    assert storage.begin(plan) == []
    assert storage.results("small").count("complete") == 3
    assert len(storage.results("small").trials) == 4


def test_a_trial_left_running_by_a_lost_launch_goes_on_with_its_finished_replicates(storage, tmp_path):
    plan = small_plan(tmp_path)
    first = storage.begin(plan)[0]
    storage.start(first)
    storage.record_replicate(first, replicate(0))
    again = storage.begin(plan)[0]
    assert again.trial_id == first.trial_id
    assert set(again.done) == {0}
    complete(storage, again)
    assert storage.results("small").count("complete") == 1


def test_a_new_seed_makes_a_new_trial_that_takes_over_the_finished_replicates(storage, tmp_path):
    for opened in storage.begin(small_plan(tmp_path)):
        complete(storage, opened)
    opened = storage.begin(small_plan(tmp_path, seeds=[0, 1, 2]))
    assert len(opened) == 3
    assert set(opened[0].done) == {0, 1}
    complete(storage, opened[0], seeds=(0, 1, 2), value=0.05)
    newest = next(t for t in storage.results("small").trials if t.number == opened[0].number)
    assert newest.supersedes is not None
    assert newest.value == 0.05
    assert set(newest.replicates) == {0, 1, 2}
    assert len(storage.results("small").trials) == 4  # the superseded ones are not read


def test_a_new_value_on_an_axis_adds_only_its_own_trials(storage, tmp_path):
    for opened in storage.begin(small_plan(tmp_path)):
        complete(storage, opened)
    opened = storage.begin(small_plan(tmp_path, search_space={"kernel_size": [3, 5, 7]}))
    assert [t.trial.params for t in opened] == [{"kernel_size": 5, "conv_blocks": 1}]
    assert storage.results("small").count("infeasible") == 2
    assert storage.results("small").axes["kernel_size"] == (3, 5, 7)


def test_a_failed_trial_is_tried_once_more_keeping_what_is_complete(storage, tmp_path):
    plan = small_plan(tmp_path)
    opened = storage.begin(plan)[0]
    storage.start(opened)
    storage.record_replicate(opened, replicate(0))
    storage.record_replicate(opened, broken(1))
    storage.finish(opened, None, curve={})
    assert storage.results("small").count("failed") == 1
    assert opened.trial not in [t.trial for t in storage.begin(plan, retry_failed=False)]
    again = next(t for t in storage.begin(plan) if t.trial == opened.trial)
    assert set(again.done) == {0}
    complete(storage, again)
    assert storage.results("small").count("failed") == 0


def test_a_changed_study_is_refused_with_a_diff(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    with pytest.raises(StudyChangedError, match=r"(?s)'small' is stored .*training.epochs: 3 -> 4.*give it a new name"):
        storage.begin(small_plan(tmp_path, training={"epochs": 4}))


def test_removing_a_seed_is_refused_with_a_diff(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    with pytest.raises(StudyChangedError, match=r"seeds: \[0, 1\] -> \[0\]"):
        storage.begin(small_plan(tmp_path, seeds=[0]))


def test_a_new_axis_is_refused(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    with pytest.raises(StudyChangedError, match="search_space"):
        storage.begin(small_plan(tmp_path, search_space={"stride": [1, 2]}))


def test_a_study_that_is_not_stored_is_an_error_that_names_those_that_are(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    with pytest.raises(StorageError, match=r"there is no study 'other' in this database \(stored: small\)\. Give"):
        storage.results("other")


def test_a_study_that_somebody_else_made_is_left_alone(storage, tmp_path):
    optuna.create_study(storage=storage.backend, study_name="small").add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(StorageError, match="was not made by clustersweep. Choose another name"):
        storage.begin(small_plan(tmp_path))
    with pytest.raises(StorageError, match="was not made by clustersweep. Give yours another name"):
        storage.results("small")


def test_a_study_of_which_only_the_name_is_there_yet_is_said_to_be_in_the_making(storage, tmp_path):
    storage.backend.create_new_study([optuna.study.StudyDirection.MINIMIZE], "small")
    words = "the study 'small' is being created: only its name is in the database yet. Try again in a moment"
    with pytest.raises(StorageError, match=words):
        storage.results("small")
    assert storage.begin(small_plan(tmp_path))
    storage.results("small")


def test_intermediate_values_are_written_once_and_again_only_when_they_change(storage, tmp_path):
    opened = storage.begin(small_plan(tmp_path))[0]
    storage.start(opened)
    storage.record_curve(opened, {1: 0.5})
    storage.record_curve(opened, {1: 0.4, 2: 0.3})
    assert storage.backend.get_trial(opened.trial_id).intermediate_values == {1: 0.4, 2: 0.3}


def test_numeric_axes_have_numeric_distributions_and_choices_list_all_that_the_schema_allows(storage, tmp_path):
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    axes = {"dropout": [0.0, 0.5], "optimizer": ["adam", "sgd"]}
    opened = storage.begin(small_plan(tmp_path, search_space=axes))[0]
    found = storage.backend.get_trial(opened.trial_id).distributions
    assert found["kernel_size"] == IntDistribution(3, 7)
    assert found["dropout"] == FloatDistribution(0.0, 0.5)
    assert found["optimizer"] == CategoricalDistribution(("adam", "sgd", "rmsprop"))


def test_an_axis_of_choices_can_grow(storage, tmp_path):
    storage.begin(small_plan(tmp_path, search_space={"optimizer": ["adam"]}))
    assert len(storage.begin(small_plan(tmp_path, search_space={"optimizer": ["adam", "sgd"]}))) == 6


def test_the_dashboards_note_of_an_impossible_combination_gives_the_reason(storage, tmp_path):
    from optuna_dashboard import get_note

    storage.begin(small_plan(tmp_path))
    study = optuna.load_study(study_name="small", storage=storage.backend)
    trial = next(t for t in study.trials if t.state == optuna.trial.TrialState.PRUNED)
    note = get_note(optuna.trial.Trial(study, trial._trial_id))
    assert "**Impossible: a 7 x 7 kernel does not fit" in note
    assert "| image | 12 x 12 x 10 |" in note


def test_what_predicting_a_constant_gives_is_kept_with_the_study(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    assert storage.results("small").label_variance is None
    storage.describe_data("small", 0.16)
    assert math.isclose(storage.results("small").label_variance, 0.16)


@pytest.mark.integration
def test_many_may_open_an_empty_database_at_the_same_time(postgres_tcp, database_name):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(Storage.connect, [url_of(postgres_tcp, database_name)] * 8))
    for storage in opened:
        assert storage.studies() == ()
        storage.close()


@pytest.mark.integration
def test_a_database_that_goes_away_is_a_storage_error_without_the_password(
    connect, postgres_tcp, database_name, tmp_path
):
    storage = connect()
    opened = storage.begin(small_plan(tmp_path))[0]
    terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database_name}'"
    postgres_tcp.execute(f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS false", terminate)
    with pytest.raises(StorageError, match="the database does not answer as it should") as raised:
        storage.start(opened)
    assert postgres_tcp.password not in str(raised.value)
    assert raised.value.exit_code == 3
    storage.close()


def test_a_launch_that_was_killed_as_it_began_leaves_nothing_in_the_way(storage, tmp_path):
    optuna.create_study(storage=storage.backend, study_name="small")
    assert len(storage.begin(small_plan(tmp_path))) == 3


def test_a_complete_trial_stays_the_answer_while_a_new_seed_is_trained(storage, tmp_path):
    for opened in storage.begin(small_plan(tmp_path)):
        complete(storage, opened)
    before = storage.results("small")
    opened = storage.begin(small_plan(tmp_path, seeds=[0, 1, 2]))
    storage.start(opened[0])
    during = storage.results("small")
    assert during.trials == before.trials
    assert during.ranked() == before.ranked()
    assert during.continued == 3


def test_a_file_that_is_not_the_stored_study_any_more_is_told_with_a_diff(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    storage.require_same(small_plan(tmp_path).study, "data-digest")
    storage.require_same(small_plan(tmp_path, seeds=[0, 1, 2]).study, None)
    with pytest.raises(StudyChangedError, match="data.digest: data-digest -> other"):
        storage.require_same(small_plan(tmp_path).study, "other")
    with pytest.raises(StudyChangedError, match="objective.over_seeds: mean -> max"):
        storage.require_same(small_plan(tmp_path, objective={"over_seeds": "max"}).study, None)


def test_the_results_say_which_trials_are_the_same_network_as_which(storage, tmp_path):
    storage.begin(small_plan(tmp_path, **DROPOUT))
    results = storage.results("small")
    found = {(t.params["dense_layers"], t.params["dropout"]): t for t in results.trials}
    first = min(t.number for (layers, _), t in found.items() if layers == 1)
    assert {t.first_alike for (layers, _), t in found.items() if layers == 1} == {first}
    assert [t.same_as for (layers, _), t in found.items() if layers == 2] == [None] * 3
    why = "dropout acts between dense layers, and there are fewer than two"
    assert [t.same_why for t in results.trials if t.same_as is not None] == [why] * 2


@pytest.mark.parametrize("over_seeds", ["mean", "max"])
def test_the_results_say_how_the_seeds_become_one_value(storage, tmp_path, over_seeds):
    storage.begin(small_plan(tmp_path, objective={"over_seeds": over_seeds}))
    assert storage.results("small").over_seeds == over_seeds


def test_a_study_stored_before_a_key_existed_is_the_same_while_the_key_has_its_default(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    study_id = storage.backend.get_study_id_from_name("small")
    older = copy.deepcopy(storage.backend.get_study_user_attrs(study_id)["clustersweep"])
    del older["definition"]["network"]["stride"]
    storage.backend.set_study_user_attr(study_id, "clustersweep", older)
    storage.begin(small_plan(tmp_path))
    with pytest.raises(StudyChangedError, match="network.stride: 1 -> 2"):
        storage.begin(small_plan(tmp_path, network={"stride": 2}))


def test_a_study_deleted_in_mid_sweep_is_a_storage_error(storage, tmp_path):
    opened = storage.begin(small_plan(tmp_path))[0]
    storage.start(opened)
    storage.backend.delete_study(storage.backend.get_study_id_from_name("small"))
    with pytest.raises(StorageError, match="it was deleted meanwhile"):
        storage.record_replicate(opened, replicate(0))


def test_a_trial_that_somebody_else_finished_is_a_storage_error(storage, tmp_path):
    opened = storage.begin(small_plan(tmp_path))[0]
    complete(storage, opened)
    with pytest.raises(StorageError, match="was finished by somebody else while this launch trained it"):
        storage.finish(opened, 0.2, curve={})


def test_the_dashboard_is_given_notes_of_the_first_impossible_trials_only(tmp_path):
    _, why = small_plan(tmp_path).infeasible[0]
    some = notes(dict.fromkeys(range(MAX_NOTES + 50), why))
    assert len({name.split(":")[1] for name in some}) == MAX_NOTES


def test_how_long_launches_took_is_kept_with_the_study(storage, tmp_path):
    storage.begin(small_plan(tmp_path))
    assert storage.results("small").launches == ()
    first, second = (LaunchTime(2, 6, epochs, 12, 30.5, 29.0, measured=True) for epochs in (5, 7))
    storage.record_launch("small", first)
    storage.record_launch("small", second)
    assert storage.results("small").launches == (first, second)


def test_a_removed_study_is_gone_and_the_others_stay(storage, tmp_path):
    for name in ("small", "other"):
        for opened in storage.begin(small_plan(tmp_path, study=name)):
            complete(storage, opened)
    before = storage.results("other")
    assert storage.count_trials("small") == 4
    storage.remove("small")
    assert storage.studies() == ("other",)
    assert storage.results("other") == before
    assert len(storage.begin(small_plan(tmp_path))) == 3
    missing = r"there is no study 'none' in this database \(stored: other, small\)\. Give the name of one of these"
    for look in (storage.count_trials, storage.remove):
        with pytest.raises(StorageError, match=missing):
            look("none")


def test_a_study_of_another_program_is_not_for_us_to_remove(storage):
    optuna.create_study(storage=storage.backend, study_name="theirs").ask()
    with pytest.raises(
        StorageError, match="'theirs' was not made by clustersweep. Remove it with the program that made"
    ):
        storage.count_trials("theirs")


def test_a_finished_trial_is_never_changed(storage, tmp_path):
    opened = storage.begin(small_plan(tmp_path))[0]
    complete(storage, opened)
    before = storage.results("small")
    with pytest.raises(StorageError):
        storage.record_replicate(opened, replicate(0, 0.9))
    with pytest.raises(StorageError):
        storage.record_curve(opened, {1: 0.9})
    assert storage.results("small") == before


def test_what_is_left_is_what_begin_would_give_and_asking_writes_nothing(tmp_path):
    storage, plan = Storage.in_memory(tasks), small_plan(tmp_path)
    assert storage.left(plan) is None
    assert storage.studies() == ()
    first, second, third = storage.begin(plan)
    for trial, seeds in ((first, (0, 1)), (second, (0,))):
        for seed in seeds:
            storage.record_replicate(trial, CompleteReplicate(seed, 0.1, 1, 3, 1.0, "w"))
    storage.record_replicate(third, broken(0))
    storage.finish(first, 0.1, curve={})
    storage.finish(third, None, curve={})
    found = storage.left(plan)
    assert [(trial.params, seeds) for trial, seeds in found.work] == [(second.trial.params, 1), (third.trial.params, 2)]
    assert (found.finished, found.replicates, found.new, found.new_seeds) == (3, 3, 0, 0)
    more = small_plan(tmp_path, search_space={"kernel_size": [3, 5, 7]}, seeds=[0, 1, 2])
    grown = storage.left(more)
    assert (grown.finished, grown.replicates, grown.new, grown.new_seeds) == (3, more.replicates - 3, 2, 1)
    assert storage.results("small").seeds == (0, 1)
    assert [(one.trial, 3 - len(one.done)) for one in storage.begin(more)] == list(grown.work)
    with pytest.raises(StudyChangedError, match=r"training.epochs: 3 -> 9"):
        storage.left(small_plan(tmp_path, training={"epochs": 9}))
