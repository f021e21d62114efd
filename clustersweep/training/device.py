"""The door to TensorFlow: imported through here, with its threads and GPU memory bounded before first use."""

import contextlib
import ctypes
import gc
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.cpus import available_cpus, cpu_model
from clustersweep.errors import UNSEEN_GPU_REMEDY, DataError, Problem, WorkersError
from clustersweep.study.events import Device

os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's own keras.json must not choose another
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep TensorFlow's C++ start-up chatter, which ignores every log level, from the terminal; show it on failure."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(terminal, said.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


@contextlib.contextmanager
def _quickly() -> Iterator[None]:
    """Import without what nobody here uses: it saves 30 % of the CPU time (1.9 of 2.6 s are left), for every worker.

    Keras imports scikit-learn and scipy where it finds them, for wrappers of its own; and the hundred thousands of
    objects that an import makes are looked through by the garbage collector again and again, in vain.
    """
    hidden = "sklearn" not in sys.modules
    collecting = gc.isenabled()
    gc.disable()
    if hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's way to say: there is no such module
    try:
        yield
    finally:
        if hidden:
            del sys.modules["sklearn"]
        # What is imported stays, so that nobody looks through it again: Keras collects garbage between networks.
        gc.freeze()
        if collecting:
            gc.enable()


with _hushed(), _quickly():
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.config import is_op_determinism_enabled  # it has no public name

__all__ = [
    "choose_device",
    "configure_device",
    "device_in_use",
    "gpu_for_auto",
    "has_gpu",
    "keras",
    "resident_variable",
    "set_precision",
    "shared_tensor",
    "tf",
]

_log = logging.getLogger(__name__)

# TensorFlow's kernels load and store so many bytes at once, and refuse memory that does not begin at a multiple.
ALIGNMENT = 64


def configure_device(cpus: int, gpu_share: float = 0.0, *, deterministic: bool = True) -> None:
    """Bound what this process takes of the machine. Must run before TensorFlow's first operation.

    Args:
        cpus: Threads for TensorFlow's operations. Ray sets only OMP_NUM_THREADS, which TensorFlow's own
            pools do not read: without this every worker would start a thread for each core of the machine.
        gpu_share: Share of one GPU's memory that this worker may take; 0 hides the GPUs.
        deterministic: Whether a GPU's sums are added up in one order always, so that a rerun on one GPU gives the same
            bits. Slower there; CPUs always do, and stay as they are.

    Raises:
        WorkersError: It is to have a share, and TensorFlow sees no GPU: it would train on CPUs in silence.

    Side effects: changes the process's TensorFlow configuration.
    """
    tf.config.threading.set_intra_op_parallelism_threads(cpus)
    tf.config.threading.set_inter_op_parallelism_threads(1)  # one order of operations: the same bits always
    with _hushed():
        gpus = tf.config.list_physical_devices("GPU")
    if gpu_share <= 0:
        tf.config.set_visible_devices([], "GPU")
        return
    if not gpus:
        where = socket.gethostname()
        raise WorkersError(
            f"a worker on {where} was given {gpu_share:g} GPU, and TensorFlow sees none there. {UNSEEN_GPU_REMEDY}"
        )
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        memory_mib = _gpu_memory_mib() if gpu_share < 1 else None
        if memory_mib is None:
            tf.config.experimental.set_memory_growth(gpu, True)
        else:
            # Less than the share: the CUDA context itself takes some hundreds of MiB outside this limit.
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=int(0.9 * gpu_share * memory_mib))
            tf.config.set_logical_device_configuration(gpu, [limit])


def choose_device(wanted: str, threads: int | None) -> int:
    """Let this process compute on a GPU or on CPUs, before TensorFlow's first operation; later ones find it as it is.

    Args:
        wanted: `cpu`, `gpu`, or `auto`: a GPU where TensorFlow sees one.
        threads: Threads for TensorFlow's operations on CPUs; None: one for each CPU, or what TensorFlow has.

    Returns:
        How many threads there are.

    Raises:
        DataError: A GPU is wanted, and TensorFlow sees none; or TensorFlow has other threads already.
    """
    share = 0.0 if wanted == "cpu" else gpu_for_auto(tell=wanted == "auto")
    if wanted == "gpu" and not share:
        rule = "TensorFlow sees no GPU here"
        remedy = "Install it with CUDA's libraries (`make setup GPU=1`), check the driver (`nvidia-smi`), or use CPUs."
        raise DataError([Problem("--device", "gpu", "", rule, remedy)])
    try:
        configure_device(threads or available_cpus(), share)
    except RuntimeError:  # it has computed in this process, as it may have in a notebook
        has = device_in_use("float32").threads
        if threads not in (None, has):
            rule = f"TensorFlow has computed in this process with {has} threads, and keeps them"
            raise DataError([Problem("threads", "", str(threads), rule, "Leave them out, or begin anew.")]) from None
    return device_in_use("float32").threads


def gpu_for_auto(*, tell: bool = True) -> float:
    """Return the share of a GPU for who wants one where there is one: 1, or 0 where TensorFlow sees none.

    Args:
        tell: Warn where the machine has one that TensorFlow does not see.
    """
    with _hushed():
        seen = bool(tf.config.list_physical_devices("GPU"))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")  # by whoever wants CPUs
    if tell and not seen and not hidden and _gpu_memory_mib() is not None:
        _log.warning(
            "`nvidia-smi` lists a GPU and TensorFlow sees none, so CPUs compute. Install it with CUDA's libraries "
            "(`make setup GPU=1`)"
        )
    return float(seen)


def set_precision(precision: str) -> None:
    """Let GPUs multiply in TF32 or not. It is the process's: whoever computes sets it first.

    Left alone, TensorFlow uses TF32 wherever a GPU can (Ampere and newer), which moves losses by 4e-5 to 2e-4.
    """
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")


def has_gpu() -> bool:
    """Return whether this process computes on a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


def device_in_use(precision: str) -> Device:
    """Return what this process computes on, where GPUs are asked for this precision."""
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return Device("CPU", cpu_model(), threads, "float32", deterministic=True)
    model = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "of unknown model")
    return Device("GPU", model, threads, precision, deterministic=is_op_determinism_enabled())


def shared_tensor(array: NDArray[Any]) -> "tf.Tensor":
    """Return a tensor that lies in the array's own memory, where that can be; else a copy.

    Ray gives the arrays of its object store to every worker of a machine in shared memory, and read-only; TensorFlow
    takes such memory by DLPack only. Tensors are never written to, but the array must not be either.

    Args:
        array: Any shape. It is kept alive as long as the tensor is.
    """
    where = array.ctypes.data
    if has_gpu() or where % ALIGNMENT or not array.flags.c_contiguous or not array.size:
        return tf.constant(array)
    # NumPy exports no read-only array (DLPack cannot say that it is), hence a writable view of the same bytes.
    memory = (ctypes.c_char * array.nbytes).from_address(where)
    memory.belongs_to = array  # type: ignore[attr-defined]
    view = np.frombuffer(memoryview(memory), array.dtype).reshape(array.shape)
    return tf.experimental.dlpack.from_dlpack(view.__dlpack__())


def resident_variable(array: NDArray[Any]) -> "tf.Variable":
    """Return a variable with the array's values, on the GPU where there is one."""
    return tf.Variable(array, trainable=False)


def _gpu_memory_mib() -> int | None:
    """Ask the driver for the memory of the smallest GPU; TensorFlow tells only when it is too late to cap it."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        printed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        return min(int(line) for line in printed.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
