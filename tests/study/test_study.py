"""The study file: what is accepted, and every refusal with its words."""

import itertools
import json
import pickle
import random
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import jsonschema  # comes with Ray
import pytest
from places import ROOT
from small_study import small_study
from study_files import load, text

from clustersweep.errors import Problem, StudyError
from clustersweep.masses.task import ClusterMasses
from clustersweep.own.task import OwnTask
from clustersweep.settings.reader import MAX_BYTES, read_yaml
from clustersweep.study.keys import KEYS as STUDY_KEYS
from clustersweep.study.stopping import StopEarly
from clustersweep.study.study import Study, study_schema
from clustersweep.study.task import Infeasible
from clustersweep.survey.spec import SimulateSpec
from clustersweep.tasks import load_study
from clustersweep.training.network import NetworkSpec, layers
from clustersweep.training.spec import TrainingSpec

SWEEPS = ROOT / "sweeps"
STUDIES = [path for path in sorted(SWEEPS.glob("*.yaml")) if "\nstudy: " in path.read_text()]
AXES, KEYS = ClusterMasses.axes, {**STUDY_KEYS, **ClusterMasses.keys}


def problems(folder: Path, content: str | bytes) -> tuple[Problem, ...]:
    """Everything wrong with a file; nothing where it is fine."""
    try:
        load(folder, content)
    except StudyError as error:
        return error.problems
    return ()


def refusals(folder: Path, content: str | bytes) -> list[str]:
    """What a person reads about a bad study file, a line each, without the folder."""
    return [str(problem).removeprefix(f"{folder}/") for problem in problems(folder, content)]


# --- the shipped files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pixels", "feasible"), [("quickstart", 25, 63), ("grid", 50, 54), ("overnight", 25, 63)]
)
def test_shipped_studies_have_81_combinations_with_the_known_number_feasible(name, pixels, feasible):
    study = load_study(SWEEPS / f"{name}.yaml")
    assert pixels * study.task.data.rebin == study.task.data.simulate.pixels
    points = [dict(zip(study.axes, point, strict=True)) for point in itertools.product(*study.axes.values())]
    found = [layers(study.task.specs(params)[0], (pixels, pixels, 10)) for params in points]
    assert len(found) == 81
    assert sum(not isinstance(network, Infeasible) for network in found) == feasible


def test_the_quick_start_is_the_grid_made_small():
    quick, grid = load_study(SWEEPS / "quickstart.yaml"), load_study(SWEEPS / "grid.yaml")
    assert (quick.name, grid.name) == ("quickstart", "efeds-grid")
    assert quick.axes == grid.axes
    assert (quick.task.data.simulate.clusters, quick.task.data.simulate.seed) == (1600, 42)
    assert (quick.task.training.epochs, quick.task.training.patience, quick.seeds) == (6, 6, (0, 1, 2))
    assert (grid.task.data.simulate.clusters, grid.task.data.simulate.seed) == (7946, 42)


def test_the_improvements_are_tried_on_the_reports_best_architecture_each_alone_and_together():
    study = load_study(SWEEPS / "improvements.yaml")
    best = {"conv_blocks": 3, "dense_layers": 1, "kernel_size": 3, "filters": 10, "convs_per_block": 3}
    assert study.task.network == NetworkSpec(**best)
    assert study.axes == {"redshift": ("none", "head", "dense"), "augmentation": ("none", "flip_rotate", "dihedral")}
    assert (study.task.data, study.task.training) == (load_study(SWEEPS / "grid.yaml").task.data, TrainingSpec())


def test_a_training_configuration_is_told_from_a_study(tmp_path):
    with pytest.raises(StudyError) as refused:
        load_study(SWEEPS / "naive.yaml")
    where = f"{SWEEPS}/naive.yaml"
    assert str(refused.value).endswith(
        f"is a training configuration, not a study. Train it: `clustersweep train {where}`."
    )
    assert len(refused.value.problems) == 1


def test_grid_yaml_shows_every_key_with_its_default():
    written = (SWEEPS / "grid.yaml").read_text()
    assert [key for key in KEYS if f"{key.rpartition('.')[2]}:" not in written] == []
    grid = load_study(SWEEPS / "grid.yaml")
    assert grid.task.network == NetworkSpec(convs_per_block=3)
    assert grid.task.training == TrainingSpec()
    assert grid.task.data.simulate == SimulateSpec(clusters=7946)
    shown = (grid.task.split, grid.seeds, grid.objective, grid.task.limits, grid.resources)
    plain = Study(name="s", task=ClusterMasses(data=grid.task.data), search_space=grid.search_space)
    assert shown == (plain.task.split, plain.seeds, plain.objective, plain.task.limits, plain.resources)


def test_a_study_stops_no_trial_unless_it_says_how(tmp_path):
    assert small_study(tmp_path).stop_early is None
    assert small_study(tmp_path, stop_early=None).stop_early is None
    assert small_study(tmp_path, stop_early={}).stop_early == StopEarly()
    rule = {"rungs": [1, 2], "keep": 0.5, "spare_ties": False, "noise": 0.01}
    assert small_study(tmp_path, stop_early=rule).stop_early == StopEarly(**rule | {"rungs": (1, 2)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stop_early": {"rungs": [3, 1]}},
            "stop_early.rungs = [3, 1]: must rise from one rung to the next. Write each",
        ),
        (
            {"stop_early": {"rungs": [1, 1]}},
            "stop_early.rungs = [1, 1]: must rise from one rung to the next. Write each",
        ),
        ({"stop_early": {"rungs": []}}, "stop_early.rungs = []: must be auto or must have at least one value."),
        ({"stop_early": {"rungs": "all"}}, "stop_early.rungs = all: must be auto or a list."),
        ({"stop_early": {"keep": 1}}, "stop_early.keep = 1: must be less than 1."),
        ({"stop_early": {"keep": 0}}, "stop_early.keep = 0: must be greater than 0."),
        ({"stop_early": {"noise": 0}}, "stop_early.noise = 0: must be greater than 0."),
        (
            {"extra_seeds": {"at_most": 2}},
            "extra_seeds.at_most = 2: must be more than the 2 seeds that every trial has.",
        ),
        ({"extra_seeds": {"budget": 0}}, "extra_seeds.budget = 0: must be greater than 0."),
        (
            {"extra_seeds": {}, "seeds": [0]},
            "extra_seeds: needs two seeds at least, which tell the noise. Add a seed to `seeds`.",
        ),
        (
            {"extra_seeds": {}, "objective": {"over_seeds": "max"}},
            "extra_seeds: needs an objective over the seeds that more seeds make surer, and objective.over_seeds is "
            "max. Write `over_seeds: mean` or `median`.",
        ),
        ({"stop_early": {"rung": [1]}}, "stop_early.rung: is no key of `stop_early`. Did you mean `rungs`?"),
        (
            {"stop_early": {}, "seeds": [0]},
            "stop_early: needs two seeds at least: what the noise of the seeds cannot tell from the best is not "
            "stopped. Add seeds; or give the standard deviation of a trial's value over seeds as `noise`, or write "
            "`spare_ties: false`.",
        ),
    ],
)
def test_a_rule_for_stopping_or_further_seeds_that_cannot_be_followed_is_refused(tmp_path, changes, message):
    with pytest.raises(StudyError) as refused:
        small_study(tmp_path, **changes)
    assert message in str(refused.value)


@pytest.mark.parametrize("rule", [{"noise": 0.01}, {"spare_ties": False}])
def test_one_seed_will_do_where_the_noise_is_known_or_not_asked_for(tmp_path, rule):
    assert small_study(tmp_path, stop_early=rule, seeds=[0]).stop_early == StopEarly(**rule)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_loads_points_to_the_schema_and_obeys_it(path):
    task = type(load_study(path).task)
    name = {ClusterMasses: "study", OwnTask: "own"}[task]
    assert path.read_text().startswith(f"# yaml-language-server: $schema={name}.schema.json\n")
    jsonschema.validate(read_yaml(path).value, study_schema(task))


@pytest.mark.parametrize(("task", "name", "option"), [(ClusterMasses, "study", ""), (OwnTask, "own", " --own")])
def test_the_shipped_schemas_are_what_the_code_gives(task, name, option):
    shipped = (SWEEPS / f"{name}.schema.json").read_text()
    assert shipped == json.dumps(study_schema(task), indent=2) + "\n", (
        f"make it again: clustersweep schema{option} > sweeps/{name}.schema.json"
    )


# --- the schema for editors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sections",
    [{"network": "{paddding: same}"}, {"search_space": "{filters: [1, 1]}"}, {"seeds": "[]"},
     {"search_space": "{padding: [diagonal]}"}, {"search_space": "{dense_units: [3]}"}, {"study": "a/b"},
     {"data": "{simulate: {}}"}, {"training": "{epochs: 1.5}"}],
)  # fmt: skip
def test_the_schema_refuses_what_the_program_refuses(tmp_path, sections):
    assert refusals(tmp_path, text(**sections))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read_yaml(tmp_path / "s.yaml").value, study_schema(ClusterMasses))


def test_every_key_of_the_schema_is_described_and_no_other():
    def keys(schema, prefix=""):
        for name, inner in schema.get("properties", {}).items():
            assert inner["description"]
            yield f"{prefix}{name}"
            for part in [inner, *inner.get("anyOf", [])]:
                yield from keys(part, f"{prefix}{name}.")

    axes = {f"search_space.{name}" for name in AXES}
    assert set(keys(study_schema(ClusterMasses))) == set(KEYS) | axes


def test_every_scalar_key_of_network_and_training_may_be_an_axis():
    assert not {f.name for f in fields(NetworkSpec)} & {f.name for f in fields(TrainingSpec)}
    every = {f.name for spec in (NetworkSpec, TrainingSpec) for f in fields(spec)}
    assert set(AXES) == every - {"dense_units"}
    allowed = study_schema(ClusterMasses)["properties"]["search_space"]["properties"]
    assert set(allowed) == set(AXES)
    assert allowed["padding"]["items"]["enum"] == ["valid", "same"]
    assert all(axis["uniqueItems"] and axis["minItems"] == 1 for axis in allowed.values())


# --- what a good file becomes -----------------------------------------------------------------------------


def test_the_smallest_study_has_defaults_everywhere(tmp_path):
    study = load(tmp_path, text())
    masses = ClusterMasses(data=replace(study.task.data, simulate=SimulateSpec(clusters=100)))
    assert study == Study(name="s", task=masses, search_space={"filters": (1, 2)})
    assert (study.task.network, study.task.training, study.seeds) == (NetworkSpec(), TrainingSpec(), (0, 1, 2))
    assert (study.objective.over_seeds, study.task.limits.max_parameters) == ("mean", None)
    assert (study.resources.cpus_per_worker, study.resources.gpus_per_worker) == (1, "auto")
    assert study.resources.deterministic is True


def test_axes_keep_the_order_of_the_file(tmp_path):
    study = load(tmp_path, text(search_space="{optimizer: [sgd, adam], filters: [3, 1], dropout: [0.1]}"))
    assert list(study.axes.items()) == [("optimizer", ("sgd", "adam")), ("filters", (3, 1)), ("dropout", (0.1,))]


def test_npz_files_need_no_catalogue(tmp_path):
    assert load(tmp_path, text(data="{images: x.NPZ}")).task.data.catalogue is None


def test_a_whole_number_is_fine_where_a_fraction_is_allowed(tmp_path):
    study = load(tmp_path, text(training="{learning_rate: 1}", resources="{gpus_per_worker: 1}"))
    assert isinstance(study.task.training.learning_rate, float)
    assert study.resources.gpus_per_worker == 1


def test_a_study_is_frozen_and_travels_between_processes(study):
    with pytest.raises(AttributeError):
        study.name = "other"
    assert pickle.loads(pickle.dumps(study)) == study


def test_importing_the_study_loads_nothing_heavy():
    heavy = ["tensorflow", "keras", "ray", "optuna", "plotly", "numpy", "astropy", "sklearn", "scipy"]
    script = f"import sys, clustersweep.study.study; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


# --- refusals: keys, types and values ---------------------------------------------------------------------

NO_AXIS = "is no axis: those are the keys of `network` and `training` that hold one number or word. "
WHOLE = "must be a whole number. Write a whole number, without quotes or decimal point."
NAME = "must be 1 to 100 letters, digits, '.', '_' and '-', and begin with neither '.' nor '-'. "


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        # keys
        ({"study": ""}, "s.yaml:1: study: is missing. Add `study:`. Name of the study, also in Optuna: "
         "letters, digits, '.', '_' and '-'."),
        ({"data": "{simulate: {seed: 1}}"},
         "s.yaml:2: data.simulate.clusters: is missing. Add `clusters:`. Number of clusters."),
        ({"network": "{paddding: same}"},
         "s.yaml:4: network.paddding: is no key of `network`. Did you mean `padding`?"),
        ({"sedes": "[1]"}, "s.yaml:4: sedes: is no key of a study. Did you mean `seeds`?"),
        ({"network": "{epochs: 3}"},
         "s.yaml:4: network.epochs: is no key of `network`. It is a key of `training`: move it there."),
        ({"training": "{seed: 3}"}, "s.yaml:4: training.seed: is no key of `training`. "
         "It is a key of `data.simulate` and `split`: move it there."),
        ({"network": "{seeds: [3]}"}, "s.yaml:4: network.seeds: is no key of `network`. "
         "Move it to the left margin: it stands outside all sections."),
        ({"network": "{epoch: 3}"}, "s.yaml:4: network.epoch: is no key of `network`. Did you mean `training.epochs`?"),
        ({"limits": "{xyz: 3}"},
         "s.yaml:4: limits.xyz: is no key of `limits`. Remove it; the keys here are max_parameters."),
        ({"data": "{simulate: {clusters: 100, cluster_seed: 3}}"},
         "s.yaml:2: data.simulate.cluster_seed: is no key of `data.simulate`. Did you mean `clusters`?"),
        ({"storage": "postgresql://me:secret@host/db"}, "s.yaml:4: storage: is no key of a study. Remove it: "
         "storage is given by --storage or CLUSTERSWEEP_STORAGE, never in a study file."),
        # axes
        ({"search_space": "{kernal_size: [3]}"},
         f"s.yaml:3: search_space.kernal_size: {NO_AXIS}Did you mean `kernel_size`?"),
        ({"search_space": "{rebin: [1]}"},
         f"s.yaml:3: search_space.rebin: {NO_AXIS}It is a key of `data`: move it there."),
        ({"search_space": "{dense_units: [3]}"}, "s.yaml:3: search_space.dense_units: holds a list, and an axis is a "
         "key that holds one number or word. Remove it, and give it in its section."),
        ({"search_space": "{filters: 10}"}, "s.yaml:3: search_space.filters = 10: must be a list. "
         "Write it as [a, b, c], or move the one value to `network`."),
        ({"search_space": "{epochs: []}"},
         "s.yaml:3: search_space.epochs = []: must have at least one value. Write one, or remove the key."),
        ({"search_space": "{filters: [10, 20, 10]}"},
         "s.yaml:3: search_space.filters[2] = 10: is given twice. Remove one of the two."),
        ({"search_space": "{dropout: [0, 0.0]}"},
         "s.yaml:3: search_space.dropout[1] = 0.0: is given twice. Remove one of the two."),
        ({"search_space": "{}"}, "s.yaml:3: search_space: must have at least one axis. "
         "Add one, for instance `filters: [10, 20, 30]`."),
        ({"search_space": "{filters: [1, x]}"}, f"s.yaml:3: search_space.filters[1] = x: {WHOLE}"),
        ({"search_space": "{filters: [1, '3']}"}, f's.yaml:3: search_space.filters[1] = "3": {WHOLE}'),
        ({"search_space": "{filters: [2, true]}"}, f"s.yaml:3: search_space.filters[1] = true: {WHOLE}"),
        ({"search_space": "{filters: [2, 3.0]}"}, f"s.yaml:3: search_space.filters[1] = 3.0: {WHOLE}"),
        ({"search_space": "{padding: [vaild]}"},
         "s.yaml:3: search_space.padding[0] = vaild: must be valid or same. Write valid."),
        ({"search_space": "{kernel_size: [3, -3]}"},
         "s.yaml:3: search_space.kernel_size[1] = -3: must be at least 1. Write 1 or more."),
        ({"network": "{filters: 3}"}, "s.yaml:4: network.filters = 3: is also an axis of `search_space`. "
         "Remove it here, or remove the axis."),
        ({"search_space": "{dense_layers: [1, 4]}"}, "s.yaml:3: search_space.dense_layers[1] = 4: must be at most 3, "
         "the number of `network.dense_units`. Write 3 or less, or add units to `network.dense_units`."),
        ({"network": "{dense_layers: 2, dense_units: [8]}"}, "s.yaml:4: network.dense_layers = 2: must be at most 1, "
         "the number of `network.dense_units`. Write 1 or less, or add units to `network.dense_units`."),
        ({"network": "{dense_units: []}"}, "s.yaml:4: network.dense_layers: must be at most 0, "
         "the number of `network.dense_units`. Write 0 or less, or add units to `network.dense_units`."),
        ({"search_space": f"{{filters: {list(range(1, 401))}, epochs: {list(range(1, 252))}}}"},
         "s.yaml:3: search_space: must give at most 100,000 combinations; it gives 100,400. "
         "Use fewer axes or fewer values."),
        # types and ranges
        ({"training": "{epochs: 1.5}"}, f"s.yaml:4: training.epochs = 1.5: {WHOLE}"),
        ({"training": "{epochs: '3'}"}, f's.yaml:4: training.epochs = "3": {WHOLE}'),
        ({"training": "{epochs: yes}"}, f"s.yaml:4: training.epochs = yes: {WHOLE}"),
        ({"training": "{epochs: true}"}, f"s.yaml:4: training.epochs = true: {WHOLE}"),
        ({"training": "{epochs: }"}, f"s.yaml:4: training.epochs = null: {WHOLE}"),
        ({"training": "{learning_rate: fast}"},
         "s.yaml:4: training.learning_rate = fast: must be a number. Write a number, without quotes."),
        ({"training": "{learning_rate: 0}"},
         "s.yaml:4: training.learning_rate = 0: must be greater than 0. Write a larger number."),
        ({"network": "{dropout: 1}"}, "s.yaml:4: network.dropout = 1: must be less than 1. Write a smaller number."),
        ({"network": "{kernel_size: 2000}"},
         "s.yaml:4: network.kernel_size = 2000: must be at most 1024. Write 1024 or less."),
        ({"network": "{dense_units: 64}"},
         "s.yaml:4: network.dense_units = 64: must be a list. Write it as [a, b, c]."),
        ({"network": "{dense_units: [64, 0]}"},
         "s.yaml:4: network.dense_units[1] = 0: must be greater than 0. Write a larger number."),
        ({"network": "{pooling: median}"},
         "s.yaml:4: network.pooling = median: must be max or average. Write one of these."),
        ({"training": "{optimizer: Adam}"},
         "s.yaml:4: training.optimizer = Adam: must be one of adam, sgd, rmsprop. Write adam."),
        ({"objective": "{metric: loss}"}, "s.yaml:4: objective.metric = loss: must be val_loss. Write val_loss."),
        ({"training": " "}, "s.yaml:4: training = null: must be a section with keys of its own. "
         "Indent its keys below it, or remove it."),
        ({"search_space": "[filters]"}, "s.yaml:3: search_space = [filters]: must be a section with keys of its own. "
         "Indent its keys below it."),
        ({"resources": "{deterministic: maybe}"},
         "s.yaml:4: resources.deterministic = maybe: must be true or false. Write one of these."),
        ({"search_space": "{deterministic: [true, false]}"},
         "s.yaml:3: search_space.deterministic: is no axis: those are the keys of `network` and `training` that hold "
         "one number or word. It is a key of `resources`: move it there."),
        ({"resources": "{gpus_per_worker: some}"},
         "s.yaml:4: resources.gpus_per_worker = some: must be auto or a number. Write one of these."),
        ({"resources": "{gpus_per_worker: -1}"},
         "s.yaml:4: resources.gpus_per_worker = -1: must be auto or at least 0. Write one of these."),
        ({"resources": "{gpus_per_worker: 2}"}, "s.yaml:4: resources.gpus_per_worker = 2: must be at most 1: a "
         "worker trains on one GPU, and a second would be idle. Write 1; there are as many workers as the GPUs "
         "have room for."),
        ({"seeds": "[]"}, "s.yaml:4: seeds = []: must have at least one value. Write one, or remove the key."),
        ({"seeds": "[0, 1, 0]"}, "s.yaml:4: seeds[2] = 0: is given twice. Remove one of the two."),
        ({"seeds": "[-1]"}, "s.yaml:4: seeds[0] = -1: must be at least 0. Write 0 or more."),
        ({"seeds": "[2147483648]"},
         "s.yaml:4: seeds[0] = 2147483648: must be at most 2147483647. Write 2147483647 or less."),
        # the name
        ({"study": "../s"},
         "s.yaml:1: study = ../s: must be a name, not a path. Leave out the folders and every slash."),
        ({"study": "C:\\s"},
         "s.yaml:1: study = C:\\s: must be a name, not a path. Leave out the folders and every slash."),
        ({"study": "my study"}, f"s.yaml:1: study = my study: {NAME}Write my-study."),
        ({"study": ".hidden"}, f"s.yaml:1: study = .hidden: {NAME}Write hidden."),
        ({"study": "'-x'"}, f's.yaml:1: study = "-x": {NAME}Write x.'),
        ({"study": "é"}, f"s.yaml:1: study = é: {NAME}Write such a name."),
        ({"study": "a" * 101}, f"s.yaml:1: study = {'a' * 60}...: {NAME}Write {'a' * 100}."),
        ({"study": "3"}, "s.yaml:1: study = 3: must be text. Write it in quotes if it looks like something else."),
        # the data
        ({"data": "{rebin: 1}"}, "s.yaml:2: data: must have exactly one of `simulate` and `images`; neither is given. "
         "Add `simulate: {clusters: 1600}` or `images:`."),
        ({"data": "{simulate: {clusters: 100}, images: x.npz}"}, "s.yaml:2: data: must have exactly one of "
         "`simulate` and `images`; both are given. Remove one of them."),
        ({"data": "{images: x.fits}"}, "s.yaml:2: data.catalogue: is missing: only npz files hold the masses and "
         "redshifts beside the images. Add `catalogue:` with the catalogue's file."),
        ({"data": "{simulate: {clusters: 100}, catalogue: c.fits}"}, "s.yaml:2: data.catalogue = c.fits: "
         "belongs to `images`, and the data are simulated. Remove it."),
        ({"data": "{simulate: {clusters: 10}}", "split": "{test: 0.9}"}, "s.yaml:2: data.simulate.clusters = 10: must "
         "leave clusters to train with; test 0.9 and validation 0.2 leave none. "
         "Use more clusters, or smaller shares in `split`."),
        ({"data": "{images: 3, catalogue: c}"},
         "s.yaml:2: data.images = 3: must be text. Write it in quotes if it looks like something else."),
    ],
)  # fmt: skip
def test_each_bad_key_or_value_is_refused_in_plain_words(tmp_path, sections, message):
    assert refusals(tmp_path, text(**sections)) == [message]


def test_everything_wrong_with_a_file_is_told_at_once_in_its_order(tmp_path):
    found = refusals(
        tmp_path,
        "study: a/b\n"
        "data:\n"
        "  simulate: {clusters: &n 100}\n"
        "  images: x.fits\n"
        "search_space:\n"
        "  filters: [10, 10, x]\n"
        "  learning_rate: [1e-3, .inf]\n"
        "  dense_layers: [1, 9]\n"
        "network:\n"
        "  filters: 3\n"
        "  paddin: same\n"
        "  dense_units: [64, 0]\n"
        "seeds: [1, 1]\n"
        "seeds: [2]\n",
    )
    keys = [line.split(": ")[0].removeprefix("s.yaml:") + " " + line.split(": ")[1].split(" =")[0] for line in found]
    assert keys == [
        "1 study",
        "2 data",
        "3 data.simulate.clusters",
        "6 search_space.filters[2]",
        "6 search_space.filters[1]",
        "7 search_space.learning_rate[1]",
        "8 search_space.dense_layers[1]",
        "10 network.filters",
        "11 network.paddin",
        "12 network.dense_units[1]",
        "13 seeds[1]",
        "14 seeds",
    ]


def test_passwords_are_never_repeated(tmp_path):
    url = "postgresql://me:se/cret@host/db"
    for content in (text(storage=url), text(study=url), text(network=f"[{url}]"), text() + f"{url}: 3\n"):
        assert "cret" not in "\n".join(refusals(tmp_path, content))


# --- refusals: the file and its YAML ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "s.yaml: is empty. Begin with `study: a-name`."),
        ("# nothing\n", "s.yaml: is empty. Begin with `study: a-name`."),
        ("- a\n", "s.yaml:1: must be lines of the form `key: value`. Begin with `study: a-name`."),
        (b"study: \xff\n", "s.yaml: must be UTF-8 text, and byte 7 is not. Save it with the encoding UTF-8."),
        (text().encode("utf-16"), "s.yaml: must be UTF-8 text, and byte 0 is not. Save it with the encoding UTF-8."),
        ("study: s\n\tdata: 3\n", "s.yaml:2: must be YAML: while scanning for the next token, found character '\\t' "
         "that cannot start any token. Indent with spaces, not tabs."),
        ("study: [s\n", "s.yaml:2: must be YAML: while parsing a flow sequence, expected ',' or ']', but got "
         "'<stream end>'. Correct it; after a colon comes a space."),
        ("study: 'a\x00b'\n", "s.yaml: must be YAML: unacceptable character #x0000: special characters are not "
         "allowed. Correct it; after a colon comes a space."),
        (text(study='"a\\0b"'), 's.yaml:1: study = "a\ufffdb": must be printable text on one line. '
         "Remove the control characters."),
        (text(study='"\\ud800"'), 's.yaml:1: study = "\ufffd": must be printable text on one line. '
         "Remove the control characters."),
        ('study: "\\UFFFFFFFF"\n', "s.yaml:1: must not have an escape that is no character. Remove the `\\U` escape."),
        ('study: "\\U00110000"\n',
         "s.yaml:1: must not have an escape that is no character. Remove the `\\U` escape."),
        (text() + "---\n" + text(), "s.yaml:4: must hold one document. Remove the second `---` and what follows it."),
        (text(seeds="[0]\nseeds: [1]"), "s.yaml:5: seeds: is given twice, first on line 4. Keep one of the two."),
        (text(network="{stride: 1, stride: 1}"),
         "s.yaml:4: network.stride: is given twice, first on line 4. Keep one of the two."),
        (text(network="&all {stride: 1}"),
         "s.yaml:4: network = {stride: 1}: must not use the anchor `&all`. Remove `&all`."),
        (text() + "&all network: {stride: 1}", "s.yaml:4: must not use the anchor `&all`. Remove `&all`."),
        (text(network="*all"), "s.yaml:4: network: must not use the alias `*all`. Write the value itself."),
        (text(network="!!python/object:os.system {stride: 1}"), "s.yaml:4: network = {stride: 1}: must not use the tag "
         "`tag:yaml.org,2002:python/object:os.system`. Write the plain value without it."),
        (text(training="{epochs: !!int '3'}"), 's.yaml:4: training.epochs = "3": must not use the tag '
         "`tag:yaml.org,2002:int`. Write the plain value without it."),
        (text(network="{[1]: 2}"), "s.yaml:4: network: must have words as its keys. Write plain words."),
        (text(network="{dense_units: " + "[" * 20 + "]" * 20 + "}"),
         "s.yaml:4: network.dense_units: must not be nested "
         "deeper than 16 levels. Flatten it."),
        (text(training="{learning_rate: .nan}"),
         "s.yaml:4: training.learning_rate = .nan: must be a finite number. Write the number itself."),
        (text(training="\n  learning_rate:\n    .nan"),
         "s.yaml:6: training.learning_rate = .nan: must be a finite number. Write the number itself."),
        (text(training="{learning_rate: -.Inf}"),
         "s.yaml:4: training.learning_rate = -.Inf: must be a finite number. Write the number itself."),
        (text(training="{learning_rate: 1e999}"),
         "s.yaml:4: training.learning_rate = 1e999: must be a number that 64 bits can hold. Write another number."),
        (text(training="{weight_decay: 1e-999}"),
         "s.yaml:4: training.weight_decay = 1e-999: must be a number that 64 bits can hold. Write another number."),
        (text(seeds=f"[{10**18}]"),
         f"s.yaml:4: seeds[0] = {10**18}: must have at most 18 digits. Write a smaller number."),
    ],
)  # fmt: skip
def test_each_bad_file_is_refused_in_plain_words(tmp_path, content, message):
    assert refusals(tmp_path, content) == [message]


def test_a_missing_file_a_folder_and_a_huge_file_are_refused(tmp_path):
    with pytest.raises(StudyError, match=r"/no\.yaml: there is no such file\. Check the path\."):
        load_study(tmp_path / "no.yaml")
    with pytest.raises(StudyError, match=r": is a folder\. Name a file in it\."):
        load_study(tmp_path)
    with pytest.raises(StudyError, match=r": cannot be read: Not a directory\. Check the path and its permissions\."):
        load_study(Path("/dev/null/s.yaml"))
    with pytest.raises(StudyError, match=r": cannot be read: embedded null byte\. Check the path"):
        load_study(Path("a\0b"))
    assert refusals(tmp_path, b"#" * (MAX_BYTES + 1)) == [
        "s.yaml: is larger than 100 kB. Check the path: no settings file is."
    ]


def test_yaml_that_would_explode_is_refused_by_its_first_anchor(tmp_path):
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in itertools.pairwise("abcdefghijkl"))
    found = refusals(tmp_path, bomb)
    assert found[0].startswith("s.yaml:1: a = [x, x]: must not use the anchor `&a`")
    assert any("must not use the alias `*a`" in line for line in found)


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-3", 0.001), ("1E3", 1000.0), (".5", 0.5), ("1.", 1.0), ("+3", 3), ("010", 10), ("no", "no"), ("on", "on"),
     ("yes", "yes"), ("2026-11-22", "2026-11-22"), ("12:30:00", "12:30:00"), ("0o17", "0o17"), ("0x1F", "0x1F"),
     ("1_000", "1_000"), ("~", None), ("null", None), ("", None), ("true", True), ("False", False), ("'1'", "1"),
     ("=", "="), ("999999999999999999", 999999999999999999)],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(tmp_path, written, value):
    path = tmp_path / "s.yaml"
    path.write_text(f"key: {written}\n")
    document = read_yaml(path)
    assert (document.value, document.faults) == ({"key": value}, ())
    assert type(document.value["key"]) is type(value)


@pytest.mark.parametrize(
    "change", [lambda t: "\ufeff" + t, lambda t: t.replace("\n", "\r\n"), lambda t: "%YAML 1.2\n---\n" + t]
)
def test_files_from_other_editors_are_read(tmp_path, change):
    assert load(tmp_path, change(text())) == load(tmp_path, text())


def test_no_value_of_any_key_escapes_plain_words(tmp_path):
    odd = ["[]", "{}", "", "x", "-1", "1.5", "true", "1e30", "[[1]]", "[{a: 1}]", "{a: 1}", "[null]", "[x, 1, x]"]
    every = [*KEYS, *(f"search_space.{axis}" for axis in AXES)]
    told = []
    for key, value in itertools.product(every, odd):
        section, *inside = key.split(".")
        nested = value
        for part in reversed(inside):
            nested = f"{{{part}: {nested}}}"
        told += problems(tmp_path, text(**{section: nested or " "}))
    assert len(told) > 500
    assert not [str(problem) for problem in told if "Input should" in str(problem) or problem.remedy == "Correct it."]
    assert not [problem for problem in told if ":" not in problem.where]


def test_damaged_files_never_crash(tmp_path):
    chance = random.Random(1)
    original = text(network="{stride: 1, padding: 'same'}", seeds="\n- 1\n- 2")
    for _ in range(300):
        damaged = list(original)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 2)] = chance.choice("\n\t :-[]{}&*!|>'\"%@`#?,~<=\\é0.e")
        problems(tmp_path, "".join(damaged))  # anything but a StudyError is a crash
