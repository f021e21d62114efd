"""What a process computes on, and what it shares with others."""

import gc
import os
import subprocess
import sys
import weakref

import forking
import numpy as np
import pytest

integration = pytest.mark.integration
pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.mark.gpu
def test_a_workers_share_of_a_gpu_is_capped_before_the_first_operation():
    script = (
        "from clustersweep.training.device import configure_device, tf\n"
        "configure_device(1, 0.25)\n"
        "tf.zeros(1)\n"
        "limits = [d for d in tf.config.list_logical_devices('GPU')]\n"
        "assert limits, 'no GPU'\n"
        "print(tf.config.get_logical_device_configuration(tf.config.list_physical_devices('GPU')[0])[0].memory_limit)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) > 0


@integration
def test_a_gpus_sums_have_one_order_unless_that_is_switched_off_and_cpus_are_left_alone():
    script = (
        "from clustersweep.training.device import configure_device, tf\n"
        "from tensorflow.python.framework.config import is_op_determinism_enabled as deterministic\n"
        "configure_device(1)\n"
        "on_cpu = deterministic()\n"
        "tf.config.list_physical_devices = lambda kind: ['a GPU']\n"
        "tf.config.experimental.set_memory_growth = lambda gpu, grows: None\n"
        "configure_device(1, 1.0, deterministic=False)\n"
        "off = deterministic()\n"
        "configure_device(1, 1.0)\n"
        "print(on_cpu, off, deterministic())\n"
    )
    done = forking.run(["-c", script], os.environ, 120.0)
    assert done.stdout.split() == ["False", "False", "True"], done.stderr


def aligned(shape, value=0):
    """An array of counts whose memory begins where TensorFlow wants it, as Ray's do."""
    memory = np.full(np.prod(shape) + 64, value, np.uint16)
    start = (-memory.ctypes.data % 64) // memory.itemsize
    return memory[start : start + np.prod(shape)].reshape(shape)


@integration
def test_an_array_that_tensorflow_can_take_is_not_copied_even_if_it_is_read_only():
    from clustersweep.training.device import shared_tensor, tf

    array = aligned((2, 3, 4))
    read_only = array.view()
    read_only.flags.writeable = False
    tensor = shared_tensor(read_only)
    assert (tensor.shape, tensor.dtype) == ((2, 3, 4), tf.uint16)
    array[1, 2, 3] = 7
    assert int(tensor[1, 2, 3]) == 7
    assert int(tf.function(lambda: tf.gather(tensor, [1]))()[0, 2, 3]) == 7


@integration
def test_the_memory_of_a_shared_array_lives_as_long_as_its_tensor_and_no_longer():
    from clustersweep.training.device import shared_tensor

    array = aligned((2, 3, 4), value=5)
    tensor, memory = shared_tensor(array), weakref.ref(array.base)
    del array
    gc.collect()
    assert memory() is not None
    assert np.array_equal(tensor.numpy(), np.full((2, 3, 4), 5))
    del tensor
    gc.collect()
    assert memory() is None


@integration
@pytest.mark.parametrize("array", [np.arange(7, dtype=np.uint8)[1:], np.arange(24.0).reshape(4, 6).T, np.zeros((0, 3))])
def test_an_array_that_tensorflow_cannot_take_is_copied(array):
    from clustersweep.training.device import shared_tensor

    assert np.array_equal(shared_tensor(array).numpy(), array)


@pytest.mark.parametrize(
    ("wanted", "seen", "share"), [("auto", True, 1.0), ("auto", False, 0.0), ("cpu", True, 0.0), ("gpu", True, 1.0)]
)
@pytest.mark.integration
def test_a_gpu_computes_where_one_is_seen_and_nobody_wants_cpus(monkeypatch, wanted, seen, share):
    from clustersweep.training import device

    configured = []
    monkeypatch.setattr(device.tf.config, "list_physical_devices", lambda kind: ["a GPU"] if seen else [])
    monkeypatch.setattr(device, "configure_device", lambda *arguments: configured.append(arguments))
    device.choose_device(wanted, 3)
    assert configured == [(3, share)]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "visible", "told"),
    [
        (["choose_device", "auto", 1], None, True),
        (["choose_device", "auto", 1], "-1", False),  # who hides it wants CPUs
        (["choose_device", "cpu", 1], None, False),
        (["configure_device", 1], None, False),
        (["gpu_for_auto"], "17", True),
    ],
)
def test_a_card_that_tensorflow_does_not_see_is_told_to_who_would_have_used_it(
    tmp_path, monkeypatch, caplog, words, visible, told
):
    from clustersweep.training import device

    card = tmp_path / "nvidia-smi"
    card.write_text("#!/bin/sh\necho 16384\n")
    card.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(device.tf.config, "list_physical_devices", lambda kind: [])
    name, *given = words
    getattr(device, name)(*given)
    assert caplog.messages == told * [
        "`nvidia-smi` lists a GPU and TensorFlow sees none, so CPUs compute. Install it with CUDA's libraries "
        "(`make setup GPU=1`)"
    ]
