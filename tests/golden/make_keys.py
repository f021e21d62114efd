"""Print what decides that a stored study is found again: its definition, its digest and the keys of its replicates.

`keys.json` is what this printed at commit 54339aa. It is never made again: a study that was launched by that version
must be the same study for every later one. New studies go into a file of their own, made by the version that is the
first to know them.

Usage: python tests/golden/make_keys.py >keys.json   (with that version's package on the path)
"""

import hashlib
import itertools
import json
import sys
import tempfile
from pathlib import Path

from clustersweep.files import json_digest
from clustersweep.study.definition import definition, replicate_key
from clustersweep.tasks import load_study

ROOT = Path(__file__).parents[2]
DATA = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
"""Stands for the digest of the data."""
HEAD = "data: {simulate: {clusters: 120, seed: 7}, %s}\n"
STUDIES = {
    "plain": HEAD % "rebin: 1" + "search_space: {filters: [4, 8]}\n",
    "integers for numbers": HEAD % "rebin: 5" + "search_space: {learning_rate: [1, 0.5], weight_decay: [0, 1.0e-4]}\n",
    "choices": HEAD % "transform: none"
    + "search_space: {optimizer: [sgd, adam, rmsprop], pooling: [max, average], activation: [gelu, tanh, elu, relu]}\n",
    "order of values": HEAD % "transform: log1p" + "search_space: {kernel_size: [7, 3, 5], filters: [30, 10, 20]}\n",
    "likelihood": HEAD % "rebin: 2" + "search_space: {loss: [mse, nll]}\nobjective: {over_seeds: median}\n",
    "views": HEAD % "rebin: 2"
    + "search_space: {augmentation: [none, flip_rotate, dihedral], redshift: [none, head, dense]}\nseeds: [7]\n",
    "by identifier": HEAD % "rebin: 2"
    + "split: {test: 0.1, validation: 0.25, seed: 3, by: identifier}\nsearch_space: {filters: [4]}\n",
    "every network key": HEAD % "rebin: 2"
    + "search_space: {filters: [4]}\n"
    + "network: {kernel_size: 5, conv_blocks: 2, dense_layers: 2, filters_step: 3, convs_per_block: 2, padding: same, "
    + "stride: 2, pool_size: 3, pooling: average, activation: elu, dropout: 0.5, dense_units: [9, 7], redshift: head}"
    + "\n",
    "every training key": HEAD % "rebin: 2"
    + "search_space: {filters: [4]}\n"
    + "training: {epochs: 7, patience: 3, batch_size: 16, optimizer: sgd, learning_rate: 0.01, weight_decay: 0.1, "
    + "augmentation: dihedral, loss: nll}\n",
    "defaults written out": HEAD % "rebin: 1"
    + "search_space: {filters: [4, 8]}\nnetwork: {kernel_size: 3, dropout: 0}\n"
    + "training: {epochs: 300, learning_rate: 0.001}\nobjective: {over_seeds: mean}\nseeds: [0, 1, 2]\n",
    "limits and resources": HEAD % "rebin: 1"
    + "search_space: {dropout: [0, 0.25], dense_layers: [0, 1, 2]}\nlimits: {max_parameters: 100000}\n"
    + "resources: {cpus_per_worker: 4, gpus_per_worker: 0.25}\nobjective: {over_seeds: max}\n",
}


def keys_of(path):
    """Give what is held of one study file."""
    study = load_study(path)
    stored = definition(study, DATA)
    points = [dict(zip(study.axes, values, strict=True)) for values in itertools.product(*study.axes.values())]
    keys = [replicate_key(study, DATA, params, seed) for params in points for seed in study.seeds]
    return {
        "definition": stored,
        "digest": json_digest(stored),
        "first": {"params": points[0], "seed": study.seeds[0], "key": keys[0]},
        "replicates": len(keys),
        "all_keys": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
    }


def all_keys(sweeps=ROOT / "sweeps"):
    """Give it for the studies above and for those of a folder."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in STUDIES.items():
            path = Path(folder) / "study.yaml"
            path.write_text("study: golden\n" + text)
            found[name] = keys_of(path)
    for name in ("grid", "improvements", "overnight", "quickstart"):
        found[f"sweeps/{name}.yaml"] = keys_of(sweeps / f"{name}.yaml")
    return found


if __name__ == "__main__":
    json.dump(all_keys(), sys.stdout, indent=1)
