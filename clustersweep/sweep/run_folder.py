"""The files of one study's runs: checkpoints of what is unfinished, weights of what is finished. All paths are here."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from clustersweep.errors import StorageError
from clustersweep.files import NOBODY_WRITES_AFTER_S, remove_parts, write_atomically
from clustersweep.study.objective import Metric
from clustersweep.study.task import Code


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
        _write(self._checkpoint(key), state, "checkpoint")

    def discard_checkpoint(self, key: str) -> None:
        """Remove the checkpoint of a replicate that has ended."""
        self._checkpoint(key).unlink(missing_ok=True)

    def checkpoint_bytes(self, key: str) -> int:
        """Return the size of a replicate's checkpoint; 0 when there is none."""
        path = self._checkpoint(key)
        return path.stat().st_size if path.exists() else 0

    def checkpoints(self) -> frozenset[str]:
        """Return the keys of the replicates that have a checkpoint."""
        return frozenset(path.stem for path in (self.path / "checkpoints").glob("*.npz"))

    def remove_parts(self) -> None:
        """Remove files that a killed launch has not written to their end; only for who holds the study's lock.

        Checkpoints and weights are written under that lock. A report is not: whoever writes one now is let be.
        """
        for name in ("checkpoints", "weights"):
            remove_parts(self.path / name)
        remove_parts(self.path, older_than_s=NOBODY_WRITES_AFTER_S)

    def weights(self, key: str) -> bytes | None:
        """Read a replicate's best weights; None when they are not kept."""
        return _read(self._weights(key))

    def save_weights(self, key: str, weights: bytes) -> None:
        """Write a replicate's best weights.

        Raises:
            StorageError: The disk is full or read-only.
        """
        _write(self._weights(key), weights, "weights")

    def keep_best_weights(self, keys: Mapping[int, str], values: Mapping[int, float], metric: Metric) -> None:
        """Of a finished trial's seeds, keep only the best one's weights: a grid's would fill the disk."""
        best = min(values, key=lambda seed: (metric.order(values[seed]), seed), default=None)
        for seed, key in keys.items():
            if seed != best and math.isfinite(values[seed]):
                self._weights(key).unlink(missing_ok=True)

    def keep_code(self, code: Code) -> None:
        """Keep the files of code of one's own, as they are now, below its digest.

        Raises:
            StorageError: The disk is full or read-only.
        """
        for name, content in code.files.items():
            path = self.code(code.digest) / name
            if not path.exists():
                _write(path, content, "code")

    def code(self, digest: str) -> Path:
        """Return the folder in which code of one's own is kept."""
        return self.path / "code" / digest

    def read_code(self, digest: str) -> dict[str, bytes]:
        """Read the files of code of one's own, by name; none where it is not kept here."""
        folder = self.code(digest)
        found = {str(path.relative_to(folder)): _read(path) for path in sorted(folder.rglob("*.py"))}
        return {name: content for name, content in found.items() if content is not None}

    def size_bytes(self) -> int:
        """Add up the files that are there."""
        return sum(file.lstat().st_size for file in self.path.rglob("*") if file.is_file())

    def remove(self) -> None:
        """Remove the folder with all that is in it; that there is none is no error.

        Raises:
            StorageError: It is a symbolic link, or something in it cannot be removed.
        """
        try:
            shutil.rmtree(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            what = error.filename or self.path
            reason = error.strerror or str(error).lower()
            raise StorageError(f"{what} cannot be removed: {reason}. Remove {self.path} by hand") from None

    def _checkpoint(self, key: str) -> Path:
        return self.path / "checkpoints" / f"{key}.npz"

    def _weights(self, key: str) -> Path:
        return self.path / "weights" / f"{key}.npz"


def _write(path: Path, data: bytes, what: str) -> None:
    try:
        write_atomically(path, data, what=what)
    except StorageError as error:
        raise StorageError(f"{error}. Then launch again: what is finished is kept") from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}. Mend that, or remove the file") from None
