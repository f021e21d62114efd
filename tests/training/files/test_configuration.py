"""The training configuration: what is accepted, every refusal with its words, and that what is written is read back."""

import dataclasses
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import jsonschema  # comes with Ray
import pytest
import yaml
from places import ROOT

from clustersweep.errors import ConfigurationError, Problem
from clustersweep.settings.reader import read_yaml
from clustersweep.study.task import Infeasible
from clustersweep.survey.source import read_header
from clustersweep.survey.spec import DataSpec, SimulateSpec, SplitSpec
from clustersweep.training.data import Scaling
from clustersweep.training.files.configuration import (
    Configuration,
    Evidence,
    FailedSeed,
    Tie,
    configuration_schema,
    configuration_yaml,
    load_configuration,
)
from clustersweep.training.files.configuration_keys import KEYS
from clustersweep.training.network import NetworkSpec, layers
from clustersweep.training.spec import OutliersSpec, ProbabilisticSpec, TrainingSpec

SWEEPS = ROOT / "sweeps"
RECIPES = [path for path in sorted(SWEEPS.glob("*.yaml")) if "\nformat: " in path.read_text()]
SMALLEST = {"format": "clustersweep-training", "version": "1", "data": "{simulate: {clusters: 100}}"}
BANDS = "[1, 1, 1]"
SCALING = {
    "transform": "sqrt", "band_mean": BANDS, "band_sd": BANDS,
    "log_mass_mean": "14", "log_mass_sd": "0.4", "redshift_mean": "0.3", "redshift_sd": "0.2",
}  # fmt: skip
EVIDENCE = {
    "study": "s", "study_digest": "'0'", "trial": "3", "params": "{filters: 10}", "rank": "1", "of": "2",
    "objective": "mean", "value": "0.1", "seeds": "{0: 0.1, 7: null}", "weights_of_seed": "0",
}  # fmt: skip


def text(**sections: str) -> str:
    """The smallest configuration with some sections given otherwise; an empty one is left out."""
    return "".join(f"{key}: {value}\n" for key, value in (SMALLEST | sections).items() if value)


def inside(values: dict[str, str], **changes: str) -> str:
    """A section on one line with some of its values changed."""
    return "{" + ", ".join(f"{key}: {value}" for key, value in (values | changes).items() if value) + "}"


def load(folder: Path, content: str | bytes) -> Configuration:
    path = folder / "c.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_configuration(path)


def problems(folder: Path, content: str | bytes) -> tuple[Problem, ...]:
    """Everything wrong with a file; nothing where it is fine."""
    try:
        load(folder, content)
    except ConfigurationError as error:
        return error.problems
    return ()


def refusals(folder: Path, content: str | bytes) -> list[str]:
    """What a person reads about a bad file, a line each, without the folder."""
    return [str(problem).removeprefix(f"{folder}/") for problem in problems(folder, content)]


def full(**changes: object) -> Configuration:
    """A configuration with everything in it."""
    everything = Configuration(
        network=NetworkSpec(filters=8, dense_units=(7, 5), redshift="head", dropout=0.1),
        training=TrainingSpec(learning_rate=1e-5, augmentation="dihedral"),
        outliers=OutliersSpec(worst=3),
        probabilistic=ProbabilisticSpec(fine_tune_epochs=9),
        data=DataSpec(images=Path("/data/x.fits"), catalogue=Path("/data/c.fits"), mass="M500c", transform="log1p"),
        data_digest="12e4567890123456",
        image_shape=(50, 50, 3),
        split=SplitSpec(test=1 / 3, by="identifier"),
        scaling=Scaling("log1p", (0.1, 1e-17, 2 / 3), (1.0, 1e22, 0.3), 14.2, 0.4, 0.3, 0.2),
        seeds=(3, 0),
        evidence=Evidence(
            study="no", study_digest="1234567890123456", trial=3,
            params={"filters": 8, "dropout": 0.1, "padding": "same"},
            rank=2, of=54, objective="mean of val_loss over the seeds, dex^2", value=0.1 + 0.2, seeds={3: 0.3, 9: None},
            weights_of_seed=3, margin=1e-3, ties=(Tie(trial=5, value=0.30001),),
            failed_seeds=(FailedSeed(trial=7, seed=0, reason="NonFiniteLoss"),),
        ),
    )  # fmt: skip
    return dataclasses.replace(everything, **changes)


# --- what is written is read back -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "configuration",
    [
        full(),
        full(outliers=None, probabilistic=None, scaling=None, evidence=None, data_digest=None, image_shape=None),
        Configuration(data=DataSpec(simulate=SimulateSpec(clusters=100, seed=2**52)), data_digest="0", seeds=(0,)),
        full(probabilistic=None, training=TrainingSpec(loss="nll")),
    ],
)
def test_what_is_written_is_read_back_equal(tmp_path, configuration):
    assert load(tmp_path, configuration_yaml(configuration)) == configuration


ODD = [
    "1e3", "1E3", ".5", "010", "0o17", "0x1F", "1_000", "12:30:00", "2026-11-22", "+3", "-", "~", "null", "no", "Yes",
    "true", "=", "<<", "", " x", "x ", "a: b", "#a", "a #b", "it's", '"', "\\n", "[x]", "{x}", "*a", "&a", "!a", "%a",
    "@a", "`a", "?", "? a", "---", "...", "é", "M₅₀₀", "log M [M⊙]", "a" * 300, "word " * 60, "\u2028", "\ufeff", "x:y",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_whatever_a_column_a_folder_or_a_study_is_called_is_read_back(tmp_path, odd):
    found = full()
    data = dataclasses.replace(found.data, mass=odd, images=Path("/") / f"{odd} ".replace("\0", "") / "x.npz")
    evidence = dataclasses.replace(found.evidence, study=odd, params={"padding": odd})
    written = configuration_yaml(dataclasses.replace(found, data=data, evidence=evidence))
    back = load(tmp_path, written)
    assert (back.data, back.evidence) == (data, evidence)
    assert yaml.safe_load(written)["data"]["mass"] == odd  # other programs read YAML 1.1
    assert b"\n    " not in written.partition(b"params:")[0]  # a line for each key, however long


def test_numbers_are_read_back_to_the_last_bit_by_us_and_by_readers_of_yaml_1_1(tmp_path):
    chance = random.Random(1)
    for _ in range(30):
        numbers = [chance.choice([1, -1]) * chance.random() * 10.0 ** chance.randint(-30, 30) for _ in range(3)]
        scaling = dataclasses.replace(full().scaling, band_mean=tuple(numbers))
        written = configuration_yaml(full(scaling=scaling))
        assert load(tmp_path, written).scaling == scaling
        assert yaml.safe_load(written)["scaling"]["band_mean"] == numbers


def test_a_written_file_says_in_every_section_what_it_is_and_how_stages_are_switched(tmp_path):
    written = configuration_yaml(full(outliers=None)).decode()
    for section in (field.name for field in dataclasses.fields(Configuration)):
        if section not in ("data_digest", "image_shape"):
            assert f"\n# {KEYS[section]}\n{section}:" in written
    assert "null: left out, {}: with the defaults.\noutliers: null\n" in written
    assert load(tmp_path, written.replace("outliers: null", "outliers: {}")).outliers == OutliersSpec()
    switched_off = load(tmp_path, written.partition("\n# Then a variance")[0] + text(format="", version=""))
    assert (switched_off.probabilistic, switched_off.network) == (None, full().network)


def test_relative_paths_start_from_the_folder_of_the_file_and_are_written_absolute(tmp_path, monkeypatch):
    read = load(tmp_path, text(data="{images: in/x.fits, catalogue: /abs/c.fits}"))
    assert (read.data.images, read.data.catalogue) == (tmp_path / "in/x.fits", Path("/abs/c.fits"))
    monkeypatch.chdir(tmp_path)
    read = load_configuration(Path("c.yaml"))
    monkeypatch.chdir("/")
    assert f'images: "{tmp_path}/in/x.fits"'.encode() in configuration_yaml(read)
    monkeypatch.chdir(tmp_path)
    by_hand = Configuration(data=DataSpec(images=Path("in/x.npz")))
    assert f'images: "{tmp_path}/in/x.npz"'.encode() in configuration_yaml(by_hand)


def test_a_file_by_hand_needs_only_its_format_and_the_data(tmp_path):
    data = DataSpec(simulate=SimulateSpec(clusters=100))
    assert load(tmp_path, text()) == Configuration(data=data)
    assert load(tmp_path, text()).seeds == (0, 1, 2)


def test_evidence_may_name_seeds_that_are_not_trained_and_lack_what_came_later(tmp_path):
    found = load(tmp_path, text(seeds="[5]", evidence=inside(EVIDENCE)))
    assert (found.seeds, found.evidence.seeds) == ((5,), {0: 0.1, 7: None})
    assert (found.evidence.ties, found.evidence.failed_seeds, found.evidence.margin) == ((), (), None)


def test_reading_a_configuration_loads_nothing_heavy():
    heavy = ["tensorflow", "keras", "ray", "optuna", "plotly", "astropy", "sklearn", "scipy"]
    script = f"import sys, clustersweep.training.files.configuration; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


# --- the shipped recipes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_is_possible_points_to_the_schema_and_obeys_it(path):
    recipe = load_configuration(path)
    assert path.read_text().startswith("# yaml-language-server: $schema=training.schema.json\n")
    jsonschema.validate(read_yaml(path).value, configuration_schema())
    assert not isinstance(layers(recipe.network, read_header(recipe.data).image_shape), Infeasible)


def test_the_recipes_are_the_reports_first_network_and_all_its_improvements():
    naive, combined = (load_configuration(SWEEPS / f"{name}.yaml") for name in ("naive", "combined"))
    assert [path.stem for path in RECIPES] == ["combined", "naive"]
    assert naive == Configuration(
        network=NetworkSpec(convs_per_block=3), data=DataSpec(simulate=SimulateSpec(clusters=7946)), seeds=(0,)
    )
    assert combined == dataclasses.replace(
        naive,
        network=NetworkSpec(convs_per_block=3, conv_blocks=3, redshift="head"),
        training=TrainingSpec(augmentation=combined.training.augmentation),
        probabilistic=ProbabilisticSpec(),
        seeds=(0, 1, 2),
    )
    assert combined.training.augmentation != "none"


# --- the schema for editors -------------------------------------------------------------------------------


def test_the_shipped_schema_is_what_the_code_gives():
    shipped = (SWEEPS / "training.schema.json").read_text()
    assert shipped == json.dumps(configuration_schema(), indent=2) + "\n", (
        "make it again: clustersweep schema --training > sweeps/training.schema.json"
    )


def test_every_key_of_the_schema_is_described_and_no_other():
    def keys(schema, prefix=""):
        for name, part in schema.get("properties", {}).items():
            assert part["description"]
            yield f"{prefix}{name}"
            for option in [part, *part.get("anyOf", []), part.get("items", {})]:
                yield from keys(option, f"{prefix}{name}.")

    assert set(keys(configuration_schema())) == set(KEYS)
    jsonschema.Draft7Validator.check_schema(configuration_schema())
    assert "$ref" not in json.dumps(configuration_schema())


def test_what_is_written_obeys_the_schema(tmp_path):
    (tmp_path / "c.yaml").write_bytes(configuration_yaml(full()))
    jsonschema.validate(read_yaml(tmp_path / "c.yaml").value, configuration_schema())


@pytest.mark.parametrize(
    "sections",
    [{"outliers": "{bin: 3}"}, {"version": "2"}, {"format": "other"}, {"data": "{simulate: {clusters: 9}}"},
     {"data": "{simulate: {clusters: 100}, image_shape: [50, 50]}"}, {"seeds": "[]"}, {"seeds": "[1, 1]"},
     {"evidence": inside(EVIDENCE, ties="[{trial: 1}]")}, {"probabilistic": "3"}, {"format": ""}],
)  # fmt: skip
def test_the_schema_refuses_what_the_program_refuses(tmp_path, sections):
    assert refusals(tmp_path, text(**sections))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read_yaml(tmp_path / "c.yaml").value, configuration_schema())


# --- refusals ---------------------------------------------------------------------------------------------

FORMAT = "must be clustersweep-training, which is what a training configuration is called. Give a file that begins "
FIT = "Remove `scaling`: it is fitted anew on the training part."
SHAPE = "{simulate: {clusters: 100}, image_shape: "


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        # what it is
        ({"version": "2"}, "c.yaml:2: version = 2: must be 1, the only version that this clustersweep reads. "
         "Upgrade clustersweep, or export again with this one."),
        ({"version": "0"}, "c.yaml:2: version = 0: must be 1, the only version that this clustersweep reads. "
         "Export again with this clustersweep."),
        ({"version": "'1'"}, 'c.yaml:2: version = "1": must be 1, the only version that this clustersweep reads. '
         "Export again with this clustersweep."),
        ({"version": "1.0"}, "c.yaml:2: version = 1.0: must be 1, the only version that this clustersweep reads. "
         "Export again with this clustersweep."),
        ({"version": ""}, "c.yaml:1: version: must be 1, the only version that this clustersweep reads. "
         "Export again with this clustersweep."),
        ({"version": "3", "whatever": "4"}, "c.yaml:2: version = 3: must be 1, the only version that this clustersweep "
         "reads. Upgrade clustersweep, or export again with this one."),
        ({"format": "keras"}, f"c.yaml:1: format = keras: {FORMAT}"
         "with `format: clustersweep-training`; `clustersweep export` makes one."),
        ({"format": ""}, f"c.yaml:1: format: {FORMAT}"
         "with `format: clustersweep-training`; `clustersweep export` makes one."),
        ({"format": "", "version": "", "study": "s"}, "c.yaml:1: format: is missing: this is a study, not a training "
         "configuration. `clustersweep launch` runs it, then `clustersweep export` gives the configuration of its "
         "best trial."),
        # keys and types, as in a study
        ({"data": ""}, "c.yaml:1: data: is missing. Add `data:`. Where the clusters come from: exactly one of "
         "`simulate` and `images`."),
        ({"network": "{paddding: same}"},
         "c.yaml:4: network.paddding: is no key of `network`. Did you mean `padding`?"),
        ({"sedes": "[1]"}, "c.yaml:4: sedes: is no key of a training configuration. Did you mean `seeds`?"),
        ({"search_space": "{filters: [1]}"}, "c.yaml:4: search_space: is no key of a training configuration. "
         "Remove it; the keys here are format, version, data, split, network, training, outliers, probabilistic, "
         "scaling, seeds, evidence."),
        ({"outliers": "{wieght: 2}"}, "c.yaml:4: outliers.wieght: is no key of `outliers`. Did you mean `weight`?"),
        ({"storage": "postgresql://me:secret@host/db"}, "c.yaml:4: storage: is no key of a training configuration. "
         "Remove it: storage is given by --storage or CLUSTERSWEEP_STORAGE, never in a training configuration file."),
        ({"outliers": "3"}, "c.yaml:4: outliers = 3: must be a section with keys of its own. "
         "Indent its keys below it, or remove it."),
        ({"probabilistic": "{epochs: 0}"},
         "c.yaml:4: probabilistic.epochs = 0: must be at least 1. Write 1 or more."),
        ({"data": "{simulate: {clusters: 100}, digest: 12}"}, "c.yaml:3: data.digest = 12: must be text. "
         "Write it in quotes if it looks like something else."),
        ({"data": f"{SHAPE}[50, 50]}}"}, "c.yaml:3: data.image_shape = [50, 50]: must have 3 values. "
         "Write as many, or remove the key."),
        ({"data": f"{SHAPE}[50, 50, 10, 1]}}"}, "c.yaml:3: data.image_shape = [50, 50, 10, 1]: must have 3 values. "
         "Write as many, or remove the key."),
        ({"data": f"{SHAPE}[50, 50, x]}}"}, "c.yaml:3: data.image_shape[2] = x: must be a whole number. "
         "Write a whole number, without quotes or decimal point."),
        ({"evidence": inside(EVIDENCE, value="")}, "c.yaml:4: evidence.value: is missing. Add `value:`. "
         "The objective of this trial, dex^2."),
        ({"evidence": inside(EVIDENCE, seeds="{a: 0.1}")}, "c.yaml:4: evidence.seeds.a = 0.1: must be a whole number. "
         "Write a whole number, without decimal point."),
        ({"evidence": inside(EVIDENCE, ties="[{trial: 4}]")},
         "c.yaml:4: evidence.ties[0].value: is missing. Add `value:`. Its objective, dex^2."),
        ({"evidence": inside(EVIDENCE, ties="[{trial: 4, value: 1, z: 3}]")},
         "c.yaml:4: evidence.ties[0].z: is no key of `evidence.ties`. Remove it; the keys here are trial, value."),
        # what contradicts something else
        ({"data": "{rebin: 1}"}, "c.yaml:3: data: must have exactly one of `simulate` and `images`; neither is given. "
         "Add `simulate: {clusters: 1600}` or `images:`."),
        ({"data": "{simulate: {clusters: 100}, images: x.npz}"}, "c.yaml:3: data: must have exactly one of "
         "`simulate` and `images`; both are given. Remove one of them."),
        ({"data": "{simulate: {clusters: 10}}", "split": "{test: 0.9}"}, "c.yaml:3: data.simulate.clusters = 10: must "
         "leave clusters to train with; test 0.9 and validation 0.2 leave none. "
         "Use more clusters, or smaller shares in `split`."),
        ({"network": "{dense_layers: 4}"}, "c.yaml:4: network.dense_layers = 4: must be at most 3, the number of "
         "`network.dense_units`. Write 3 or less, or add units to `network.dense_units`."),
        ({"data": "{images: x.npz, image_shape: [6, 6, 10]}", "network": "{conv_blocks: 2, kernel_size: 5}"},
         "c.yaml:4: network: is impossible for images of 6 x 6 pixels: a 5 x 5 kernel does not fit the 1 x 1 pixels at "
         "block2_conv1. Use smaller kernels, fewer conv_blocks or convs_per_block, or padding: same."),
        ({"data": "{simulate: {clusters: 100, pixels: 12}, rebin: 2}", "network": "{kernel_size: 7}"},
         "c.yaml:4: network: is impossible for images of 6 x 6 pixels: a 7 x 7 kernel does not fit the 6 x 6 pixels at "
         "block1_conv1. Use smaller kernels, fewer conv_blocks or convs_per_block, or padding: same."),
        ({"data": f"{SHAPE}[50, 50, 10], rebin: 2}}"}, "c.yaml:3: data.image_shape = [50, 50, 10]: must be of "
         "25 x 25 pixels, which is what `data.simulate` and `data.rebin` give. "
         "Remove `digest`, `image_shape` and `scaling`, which were those of other data."),
        ({"outliers": "{bins: 4, worst: 4}"}, "c.yaml:4: outliers.worst = 4: must be less than `outliers.bins`, which "
         "is 4: not every mass can be among the worst. Write a smaller number, or more `bins`."),
        ({"outliers": "{bins: 2}"}, "c.yaml:4: outliers.worst: must be less than `outliers.bins`, which is 2: "
         "not every mass can be among the worst. Write a smaller number, or more `bins`."),
        ({"probabilistic": "{}", "training": "{loss: nll}"}, "c.yaml:4: probabilistic: gives a variance to a network "
         "that has one already, since `training.loss` is nll. Write `probabilistic: null`, or `loss: mse`."),
        ({"seeds": "[0, 1, 0]"}, "c.yaml:4: seeds[2] = 0: is given twice. Remove one of the two."),
        ({"scaling": inside(SCALING, transform="log1p")},
         f"c.yaml:4: scaling.transform = log1p: must be `data.transform`, which is sqrt. {FIT}"),
        ({"data": f"{SHAPE}[50, 50, 10]}}", "scaling": inside(SCALING, band_sd=str([1] * 10))},
         "c.yaml:4: scaling.band_mean = [1, 1, 1]: must have 10 values, one for each band of `data.image_shape`; "
         f"it has 3. {FIT}"),
        ({"scaling": inside(SCALING, band_sd="[1, 1]")}, "c.yaml:4: scaling.band_sd = [1, 1]: must have 3 values, "
         f"as many as `scaling.band_mean`; it has 2. {FIT}"),
        ({"scaling": inside(SCALING, band_sd="[1, 1, 1, 1]")}, "c.yaml:4: scaling.band_sd = [1, 1, 1, 1]: must have "
         f"3 values, as many as `scaling.band_mean`; it has 4. {FIT}"),
        ({"scaling": inside(SCALING, band_sd="[1, 0, 1]")},
         f"c.yaml:4: scaling.band_sd[1] = 0: must be greater than 0: numbers are divided by it. {FIT}"),
        ({"scaling": inside(SCALING, redshift_sd="-0.1")},
         f"c.yaml:4: scaling.redshift_sd = -0.1: must be greater than 0: numbers are divided by it. {FIT}"),
        ({"scaling": inside(SCALING, redshift_mean="")},
         "c.yaml:4: scaling.redshift_mean: is missing. Add `redshift_mean:`. Mean redshift."),
    ],
)  # fmt: skip
def test_each_bad_key_or_value_is_refused_in_plain_words(tmp_path, sections, message):
    assert refusals(tmp_path, text(**sections)) == [message]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "c.yaml: is empty. Begin with `format: clustersweep-training`."),
        ("- a\n", "c.yaml:1: must be lines of the form `key: value`. Begin with `format: clustersweep-training`."),
        (text() + "---\n" + text(), "c.yaml:4: must hold one document. Remove the second `---` and what follows it."),
        (text(network="&all {stride: 1}"),
         "c.yaml:4: network = {stride: 1}: must not use the anchor `&all`. Remove `&all`."),
        (text(network="!!python/object:os.system {stride: 1}"), "c.yaml:4: network = {stride: 1}: must not use the tag "
         "`tag:yaml.org,2002:python/object:os.system`. Write the plain value without it."),
    ],
)  # fmt: skip
def test_each_bad_file_is_refused_in_plain_words(tmp_path, content, message):
    assert refusals(tmp_path, content) == [message]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"/no\.yaml: there is no such file\. Check the path\.") as refused:
        load_configuration(tmp_path / "no.yaml")
    assert refused.value.exit_code == 2


def test_everything_wrong_with_a_file_is_told_at_once_in_its_order(tmp_path):
    found = refusals(
        tmp_path,
        "format: clustersweep-training\n"
        "version: 1\n"
        "network: {dense_layers: 4, conv_blocks: 9}\n"
        "training: {loss: nll, epoch: 3}\n"
        "outliers: {worst: 11}\n"
        "probabilistic: {patience: 0}\n"
        "data:\n"
        "  simulate: {clusters: 100}\n"
        "  image_shape: [25, 25, 10]\n"
        "scaling: {transform: none, band_sd: [0]}\n"
        "seeds: [1, 1]\n"
        "seeds: [2]\n",
    )
    keys = [line.split(": ")[0].removeprefix("c.yaml:") + " " + line.split(": ")[1].split(" =")[0] for line in found]
    assert keys == [
        "3 network.dense_layers",
        "3 network",
        "4 training.epoch",
        "5 outliers.worst",
        "6 probabilistic.patience",
        "6 probabilistic",
        "9 data.image_shape",
        *(f"10 scaling.{name}" for name in ("band_mean", "log_mass_mean", "log_mass_sd", "redshift_mean")),
        "10 scaling.redshift_sd",
        "10 scaling.transform",
        "10 scaling.band_sd",
        "10 scaling.band_sd[0]",
        "11 seeds[1]",
        "12 seeds",
    ]


def test_no_value_of_any_key_escapes_plain_words(tmp_path):
    odd = ["[]", "{}", "", "x", "-1", "1.5", "true", "1e30", "[[1]]", "[{a: 1}]", "{a: 1}", "[null]", "[x, 1, x]"]
    told = []
    for key, value in itertools.product(KEYS, odd):
        section, *parts = key.split(".")
        nested = value
        for part in reversed(parts):
            nested = f"{{{part}: {nested}}}"
        told += problems(tmp_path, text(**{section: nested or " "}))
    assert len(told) > 500
    assert not [str(problem) for problem in told if "nput should" in str(problem) or problem.remedy == "Correct it."]
    assert not [problem for problem in told if ":" not in problem.where]


def test_damaged_files_never_crash(tmp_path):
    chance = random.Random(1)
    original = configuration_yaml(full()).decode()
    for _ in range(100):
        damaged = list(original)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 2)] = chance.choice("\n\t :-[]{}&*!|>'\"%@`#?,~<=\\é0.e")
        problems(tmp_path, "".join(damaged))  # anything but a ConfigurationError is a crash
