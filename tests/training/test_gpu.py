"""What TensorFlow's own registry tells of GPUs without one; and, under the marker `gpu`, what only one tells."""

import dataclasses
import functools
import itertools
import json
import math
import os
import subprocess
import sys

import forking
import numpy as np
import pytest
from places import TESTS
from small_data import small_data
from small_study import CLUSTERS as MASSES

from clustersweep.study.events import Finished
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec

TRAIN = 60
DATA = small_data(train=TRAIN, kind=np.uint16)
NETWORK = NetworkSpec(filters=4, dense_layers=2, dense_units=(8, 6), dropout=0.2)
TRAINING = TrainingSpec(epochs=2, patience=2, batch_size=16)
# Together they have every optimizer, augmentation, loss, pooling, padding, activation and place of the redshift.
VARIANTS = [
    (NETWORK, TRAINING),
    (dataclasses.replace(NETWORK, redshift="head", pooling="average"),
     dataclasses.replace(TRAINING, augmentation="flip_rotate", optimizer="sgd")),
    (dataclasses.replace(NETWORK, redshift="dense", padding="same", conv_blocks=2),
     dataclasses.replace(TRAINING, augmentation="dihedral", optimizer="rmsprop", weight_decay=0.01)),
    (dataclasses.replace(NETWORK, stride=2, filters_step=2, convs_per_block=2),
     dataclasses.replace(TRAINING, loss="nll", augmentation="dihedral", weight_decay=0.01)),
]  # fmt: skip
NAMES = ["plain", "rotated", "dihedral", "likelihood"]
# Every type that images are kept in: the smallest unsigned integer, or 32-bit floats.
TYPES = [np.uint8, np.uint16, np.uint32, np.uint64, np.float32]
# What has no kernel because it computes nothing.
NO_KERNEL = {
    "Placeholder": "an argument of a function",
    "StatelessWhile": "control flow: lowered to Switch and Merge, which have kernels",
    "While": "control flow: lowered to Switch and Merge, which have kernels",
    "NoOp": "an order of operations",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    from clustersweep.training.device import configure_device

    configure_device(1)


def operations(function):
    """Yield every operation of a concrete function, those of loops' bodies and all other functions included."""
    waiting, seen = [function.graph], set()
    while waiting:
        graph = waiting.pop()
        for operation in graph.get_operations():
            yield operation
            for attribute in operation.node_def.attr.values():
                name = attribute.func.name
                if name and name not in seen:
                    seen.add(name)
                    waiting.append(graph._get_function(name).graph)


def gpu_kernel(operation):
    """Return the kernel that a GPU has for an operation with its types; None where it has none."""
    from tensorflow.python.framework import kernels

    def fits(constraint):
        types = operation.get_attr(constraint.name)
        wanted = [kind.as_datatype_enum for kind in (types if isinstance(types, list) else [types])]
        return set(wanted) <= set(constraint.allowed_values.list.type)

    registered = kernels.get_registered_kernels_for_op(operation.type).kernel
    return next((k for k in registered if k.device_type in ("GPU", "DEFAULT") and all(map(fits, k.constraint))), None)


def in_host_memory(operation, kernel):
    """Yield the tensors that a kernel for GPUs reads from and writes to the CPU's memory."""
    for arguments, tensors in (
        (operation.op_def.input_arg, operation.inputs),
        (operation.op_def.output_arg, operation.outputs),
    ):
        left = iter(tensors)
        for argument in arguments:
            number = 1
            if argument.number_attr:
                number = operation.get_attr(argument.number_attr)
            elif argument.type_list_attr:
                number = len(operation.get_attr(argument.type_list_attr))
            for tensor in itertools.islice(left, number):
                if argument.name in kernel.host_memory_arg:
                    yield tensor


def is_small(tensor):
    """Say whether a tensor has at most one value for each cluster, or one for each dimension of another."""
    return tensor.shape.rank is not None and math.prod(size or 1 for size in tensor.shape[1:]) == 1


def without_kernel(functions):
    return {
        (operation.type, *(tensor.dtype.name for tensor in operation.inputs))
        for function in functions
        for operation in operations(function)
        if operation.type not in NO_KERNEL and gpu_kernel(operation) is None
    }


def traced(trainer):
    from clustersweep.training.device import tf

    order = tf.TensorSpec([TRAIN], tf.int32)
    return [trainer._epoch.get_concrete_function(order), trainer._validate.get_concrete_function()]


@functools.cache
def traced_variant(number):
    """Return what a variant computes in an epoch, where its images lie as on a GPU."""
    from clustersweep.training.engine import DeviceData, Trainer

    return traced(Trainer(*VARIANTS[number], DeviceData(DATA, in_variables=True)))


@pytest.mark.integration
@pytest.mark.parametrize("number", range(len(VARIANTS)), ids=NAMES)
def test_a_gpu_has_a_kernel_for_every_operation_of_an_epoch(number):
    assert without_kernel(traced_variant(number)) == set()


@pytest.mark.integration
def test_a_gpu_has_a_kernel_for_every_operation_of_the_later_stages_of_a_training():
    from clustersweep.training.engine import DeviceData, Trainer

    data = DeviceData(DATA, in_variables=True)
    head = Trainer(*VARIANTS[-1], data, head_only=True, row_weights=np.ones(TRAIN))
    assert without_kernel(traced(head)) == set()


@pytest.mark.integration
@pytest.mark.parametrize("number", range(len(VARIANTS)), ids=NAMES)
def test_nothing_of_an_epoch_but_shapes_and_single_numbers_is_in_the_cpus_memory(number):
    """GPUs keep 32-bit integers in the CPU's memory: images of that type would be sent at every step."""
    found = [
        tensor
        for function in traced_variant(number)
        for operation in operations(function)
        if operation.type not in NO_KERNEL
        for tensor in in_host_memory(operation, gpu_kernel(operation))
        if tensor.dtype.name != "resource"
    ]
    assert found
    assert [tensor for tensor in found if not is_small(tensor)] == []


@pytest.mark.integration
@pytest.mark.parametrize("kind", TYPES)
def test_a_gpu_gathers_images_of_every_type_from_a_variable(kind):
    from clustersweep.training.engine import DeviceData, Trainer

    network = NetworkSpec(filters=1, dense_layers=0)  # as little as can be beside the images
    data = DeviceData(small_data(kind=kind), in_variables=True)
    assert without_kernel(traced(Trainer(network, TRAINING, data))) == set()
    if kind is np.uint16:  # why there are variables at all
        plain = DeviceData(small_data(kind=kind), in_variables=False)
        missing = without_kernel(traced(Trainer(network, TRAINING, plain)))
        assert missing == {("GatherV2", np.dtype(kind).name, "int32", "int32")}


@pytest.mark.integration
@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
def test_a_gpu_has_a_kernel_for_every_operation_of_a_prediction(transform):
    from clustersweep.training.ensemble import Ensemble
    from clustersweep.training.model import build_model, initial_weights

    network = dataclasses.replace(NETWORK, redshift="head")
    weights = initial_weights(build_model(network, (12, 12, 3), 2), 0)
    ensemble = Ensemble(network, small_data(transform=transform).scaling, (12, 12, 3), [weights], outputs=2)
    assert without_kernel([ensemble._run.get_concrete_function()]) == set()


@functools.cache
def losses(network, training, **options):
    from clustersweep.training.engine import DeviceData, Trainer

    done = list(Trainer(network, training, DeviceData(DATA, **options)).replicate(1))[-1]
    assert isinstance(done, Finished), done
    return done.curve, done.nll_curve


@pytest.mark.integration
@pytest.mark.parametrize(("network", "training"), VARIANTS, ids=NAMES)
def test_images_in_variables_give_the_same_losses_to_the_last_bit(network, training):
    assert losses(network, training, in_variables=True) == losses(network, training, in_variables=False)


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_every_network_and_training_also_runs_where_operations_must_be_deterministic():
    """TensorFlow refuses operations that cannot be, and random ones without a seed, on CPUs as on GPUs."""
    script = (
        f"import sys; sys.path[:0] = {[str(TESTS / 'training'), str(TESTS / 'support')]}\n"
        "import test_gpu\n"
        "from clustersweep.training.device import configure_device, tf\n"
        "configure_device(1)\n"
        "tf.config.experimental.enable_op_determinism()\n"
        "for network, training in test_gpu.VARIANTS:\n"
        "    print(test_gpu.losses(network, training, in_variables=True))\n"
    )
    done = forking.run(["-c", script], os.environ, 250.0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(losses(*variant, in_variables=True)) for variant in VARIANTS]


@pytest.mark.integration
def test_a_worker_in_this_process_has_the_share_that_is_asked_for_and_a_whole_gpu_with_auto(monkeypatch):
    from clustersweep.training import device
    from clustersweep.workers.protocol import InProcessWorkers

    configured = []
    monkeypatch.setattr(device.tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(
        device, "configure_device", lambda *given, **named: configured.append((*given, *named.values()))
    )
    alone = [
        InProcessWorkers(MASSES, DATA, cpus=2, gpus_per_worker=gpus, deterministic=False).alone()
        for gpus in ("auto", 0.25, 0, 1)
    ]
    assert configured == [(2, 1.0, False), (2, 0.25, False), (2, 0.0, False), (2, 1.0, False)]
    assert alone == [False, True, False, False]  # whether it has but a share of a GPU


# --- what only a GPU tells ------------------------------------------------------------------------------------


def on_gpu(script, **options):
    """Run a script in a process of its own that computes on a GPU, and give what it prints as JSON."""
    begin = (
        "import dataclasses, json, sys; sys.path[:0] = ['tests/training', 'tests/support']\n"
        "import test_gpu\n"
        "from clustersweep.training.device import configure_device, device_in_use, has_gpu, tf\n"
        f"configure_device(1, {options.get('share', 1.0)}, deterministic={options.get('deterministic', True)})\n"
        "assert has_gpu(), 'TensorFlow sees no GPU'\n"
    )
    done = subprocess.run([sys.executable, "-c", begin + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


ALL_LOSSES = "print(json.dumps([test_gpu.losses(*variant) for variant in test_gpu.VARIANTS]))"


@pytest.mark.gpu
@pytest.mark.timeout(900)
def test_reruns_on_one_gpu_give_the_same_losses_to_the_last_bit_also_on_a_share_of_it():
    first, again, on_a_share = on_gpu(ALL_LOSSES), on_gpu(ALL_LOSSES), on_gpu(ALL_LOSSES, share=0.25)
    assert first == again == on_a_share


@pytest.mark.gpu
@pytest.mark.timeout(600)
def test_losses_on_a_gpu_are_those_of_a_cpu_but_for_the_last_digits():
    for found, (network, training) in zip(on_gpu(ALL_LOSSES), VARIANTS, strict=True):
        curve, _ = losses(network, training)
        assert found[0][0] == pytest.approx(curve[0], rel=1e-3), training


@pytest.mark.gpu
@pytest.mark.timeout(600)
def test_float32_on_a_gpu_gives_the_same_bits_whether_or_not_tf32_ran_before_it_in_the_process():
    train = "test_gpu.losses(test_gpu.NETWORK, dataclasses.replace(test_gpu.TRAINING, precision='{}'))"
    alone = on_gpu(f"print(json.dumps({train.format('float32')}))")
    after = on_gpu(f"{train.format('tf32')}\nprint(json.dumps({train.format('float32')}))")
    assert alone == after


@pytest.mark.gpu
def test_images_lie_on_the_gpu_and_what_computes_is_told():
    found = on_gpu(
        "from clustersweep.training.engine import DeviceData, Trainer\n"
        "data = DeviceData(test_gpu.DATA)\n"
        "list(Trainer(test_gpu.NETWORK, test_gpu.TRAINING, data).replicate(0))\n"
        "told = device_in_use('float32')\n"
        "print(json.dumps([data.train_images.device, told.kind, told.model, told.deterministic]))\n"
    )
    assert found[0].endswith("GPU:0")
    assert found[1] == "GPU"
    assert found[2] != "of unknown model"
    assert found[3] is True


@pytest.mark.gpu
@pytest.mark.timeout(900)
def test_a_model_is_trained_and_used_on_a_gpu_and_says_so(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "format: clustersweep-training\nversion: 1\nseeds: [0]\n"
        "network: {filters: 2, dense_layers: 1, dense_units: [4]}\ntraining: {epochs: 2}\n"
        "data: {simulate: {clusters: 60, seed: 3, pixels: 12}}\n"
    )

    def typed(*words):
        command = [sys.executable, "-m", "clustersweep", *map(str, words)]
        env = {**os.environ, "CLUSTERSWEEP_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done

    assert "to train on GPU" in " ".join(typed("train", "c.yaml", "--to", "model", "--device", "gpu").stderr.split())
    typed("simulate", "s", "--clusters", 10, "--pixels", 12)
    assert "GPU" in typed("predict", "model", "s", "--to", "m.fits", "--device", "gpu").stdout
    assert json.loads((tmp_path / "model/model.json").read_text())["provenance"]["device"].startswith("GPU ")
