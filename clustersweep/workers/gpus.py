"""How many GPUs of a Ray cluster TensorFlow can use: Ray counts those that the driver has, libraries or not."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from clustersweep.errors import UNSEEN_GPU_REMEDY
from clustersweep.workers.connection import Node, ask
from clustersweep.workers.timings import RayTimings


def _gpu_asker(patience_s: float) -> Callable[[], int | None]:
    # A function within one travels as code: a node may not have this package.
    def count() -> int | None:
        import os
        import subprocess
        import sys

        # A process of its own: TensorFlow keeps what it has looked at, and Ray keeps this process for other work.
        script = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if not environment.get("CUDA_VISIBLE_DEVICES"):
            environment.pop("CUDA_VISIBLE_DEVICES", None)  # empty: Ray hides GPUs from work that asks for none
        command = [sys.executable, "-P", "-c", script]
        try:
            told = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=patience_s, check=True
            )
            return int(told.stdout.split()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None

    return count


def tensorflow_gpus(asked: Sequence[Node], timings: RayTimings) -> dict[str, int]:
    """Return, by identity, how many GPUs TensorFlow sees on nodes; as many as Ray counts on one that cannot say.

    What is wrong with such a node is told by whoever looks at its software, or by its first worker.
    """
    answers = ask(_gpu_asker(timings.count_gpus_s), asked, timings.count_gpus_s + timings.answer_s)
    told = {identity: answer for identity, answer in answers.items() if isinstance(answer, int)}
    return {node.identity: told.get(node.identity, node.gpus) for node in asked}


def to_be_asked(found: Sequence[Node], seen: Mapping[str, int], gpus: float | str) -> list[Node]:
    """Return the nodes with GPUs of which nobody has asked TensorFlow yet; none where CPUs are wanted.

    Args:
        found: The nodes, with the GPUs that Ray counts.
        seen: How many TensorFlow sees, by identity, of those that were asked.
        gpus: Share of a GPU for each worker, or `auto`.
    """
    return [node for node in found if node.gpus and node.identity not in seen] if gpus != 0 else []


def unseen_gpus(found: Sequence[Node], seen: Mapping[str, int]) -> str:
    """Say on which nodes TensorFlow sees fewer GPUs than Ray counts; nothing where there are none.

    Args:
        found: The nodes, with the GPUs that Ray counts.
        seen: How many TensorFlow sees, by identity, of those that were asked.
    """
    fewer = [
        f"{seen[node.identity]} of {node.gpus} GPUs on {node.address}"
        for node in found
        if seen.get(node.identity, node.gpus) < node.gpus
    ]
    return f"TensorFlow sees {', '.join(fewer)}" if fewer else ""


def gpu_warnings(alive: Sequence[Node], unseen: str, cpus: int, share: float) -> Iterator[str]:
    """Say which GPUs are not used, and which nodes are left alone because they have none where others have some.

    Args:
        alive: The nodes, with the GPUs that TensorFlow sees.
        unseen: What `unseen_gpus` says of them.
        cpus: CPUs of a worker.
        share: What each worker has of a GPU.
    """
    if unseen:
        yield f"{unseen}{', and no other is used there' if share else ', so CPUs train'}. {UNSEEN_GPU_REMEDY}"
    unused = [node.address for node in alive if node.resources.get("CPU", 0.0) >= cpus and not node.gpus]
    if share and unused:
        yield (
            f"no GPU, and so not used beside nodes with GPUs: {', '.join(unused)}. Another kind of device may change "
            "the last bits; resources.gpus_per_worker: 0 trains on the CPUs of all nodes"
        )
