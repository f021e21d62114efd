"""How many GPUs of a Ray cluster TensorFlow can use: Ray counts those that the driver has, libraries or not."""

from collections.abc import Callable, Mapping, Sequence

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
