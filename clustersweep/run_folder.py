"""The files of one study's runs: checkpoints of what is unfinished, weights of what is finished. All paths are here."""

import math
from collections.abc import Mapping
from pathlib import Path

from clustersweep.errors import StorageError
from clustersweep.home import write_atomically


class RunFolder:
    """`checkpoints/KEY.npz` and `weights/KEY.npz` below one folder; a replicate's key names its files.

    Keys are digests of everything that decides a replicate's numbers, so a file is never another's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def report(self) -> Path:
        """The folder for the report and its table."""
        return self.path

    def checkpoint(self, key: str) -> bytes | None:
        """Read a replicate's checkpoint; None when there is none."""
        return _read(self._checkpoint(key))

    def save_checkpoint(self, key: str, state: bytes) -> None:
        """Write a replicate's checkpoint in place of an earlier one.

        Raises:
            StorageError: The disk is full or read-only; the earlier checkpoint is still there.
        """
        write_atomically(self._checkpoint(key), state, what="checkpoint")

    def discard_checkpoint(self, key: str) -> None:
        """Remove the checkpoint of a replicate that has ended."""
        self._checkpoint(key).unlink(missing_ok=True)

    def weights(self, key: str) -> bytes | None:
        """Read a replicate's best weights; None when they are not kept."""
        return _read(self._weights(key))

    def save_weights(self, key: str, weights: bytes) -> None:
        """Write a replicate's best weights.

        Raises:
            StorageError: The disk is full or read-only.
        """
        write_atomically(self._weights(key), weights, what="weights")

    def keep_best_weights(self, keys: Mapping[int, str], losses: Mapping[int, float]) -> None:
        """Of a finished trial's seeds, keep only the best one's weights: a grid's would fill the disk."""
        best = min(losses, key=lambda seed: (losses[seed], seed), default=None)
        for seed, key in keys.items():
            if seed != best and math.isfinite(losses[seed]):
                self._weights(key).unlink(missing_ok=True)

    def _checkpoint(self, key: str) -> Path:
        return self.path / "checkpoints" / f"{key}.npz"

    def _weights(self, key: str) -> Path:
        return self.path / "weights" / f"{key}.npz"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}. Mend that, or remove the file") from None
