"""What a training leaves while it runs: whose folder it is, finished stages, checkpoints. Trains nothing."""

from pathlib import Path

from clustersweep.errors import DataError, Problem
from clustersweep.files import NOBODY_WRITES_AFTER_S, is_part, remove_parts, write_atomically
from clustersweep.study.events import DamagedCheckpointError
from clustersweep.training.evaluation.results import StageName, StageResult, result_from, result_json
from clustersweep.training.files.checkpoint import Arrays, pack_record, unpack_record
from clustersweep.training.files.configuration import Configuration, configuration_yaml, load_configuration
from clustersweep.training.files.model_folder import CONFIGURATION, MANIFEST

WORK = "work"


def require_free(folder: Path) -> None:
    """Make sure, before anything takes time, that a folder is missing, empty or a training's.

    Raises:
        DataError: It holds something else.
    """
    if not folder.exists() or (folder / CONFIGURATION).exists():
        return
    if not folder.is_dir() or not all(is_part(entry) for entry in folder.iterdir()):
        raise _other(folder, "is there already and holds no training")


def claim(folder: Path, configuration: Configuration) -> None:
    """Make the folder this configuration's, or make sure that it is, with at most more seeds than before.

    Where no stage has been finished it is taken over, so that a configuration that failed can be mended. Parts of
    files that a killed training left go once they are old: another one may train in the same folder just now.

    Raises:
        DataError: It holds something else.
    """
    require_free(folder)
    path, work = folder / CONFIGURATION, folder / WORK
    if path.exists():
        held = load_configuration(path)
        differing = [name for name, value in vars(configuration).items() if getattr(held, name) != value]
        if not differing:
            remove_parts(folder, older_than_s=NOBODY_WRITES_AFTER_S)
            return
        grown = differing == ["seeds"] and set(held.seeds) <= set(configuration.seeds)
        kept = [entry for entry in work.iterdir() if not is_part(entry)] if work.is_dir() else []
        begun = work.is_dir() and all(".checkpoint" in entry.name for entry in kept)
        if not (grown or begun):
            what = ", ".join(f"`{name}`" for name in differing)
            raise _other(folder, f"holds the training of another configuration: {what} of its {CONFIGURATION} differ")
        for checkpoint in () if grown else kept:
            checkpoint.unlink()  # of a training that this one is not
        (folder / MANIFEST).unlink(missing_ok=True)  # until the new seeds are trained, there is no model
    write_atomically(path, configuration_yaml(configuration), what="configuration")
    work.mkdir(exist_ok=True)
    remove_parts(folder, older_than_s=NOBODY_WRITES_AFTER_S)


def _other(folder: Path, rule: str) -> DataError:
    return DataError([Problem(str(folder), "", "", rule, "Choose another folder with --to.")])


class WorkFolder:
    """The stages of one seed on disk: `base-0.npz` when finished, `base-0.checkpoint.npz` before."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._seed = folder, seed

    def result(self, stage: StageName) -> tuple[StageResult, Arrays] | None:
        """Return a finished stage with the weights that the next one begins with; None where there is none whole."""
        try:
            record, weights = unpack_record(self._path(stage).read_bytes())
            return result_from(record), weights
        except (FileNotFoundError, DamagedCheckpointError, KeyError, TypeError, ValueError):
            return None  # a damaged one is trained again: the same numbers, only later

    def keep(self, result: StageResult, weights: Arrays) -> None:
        """Keep a finished stage; its checkpoint is not needed any more."""
        write_atomically(self._path(result.stage), pack_record(result_json(result), weights), what="finished stage")
        self._checkpoint(result.stage).unlink(missing_ok=True)

    def checkpoint(self, stage: StageName) -> bytes | None:
        """Return where an interrupted stage got to."""
        try:
            return self._checkpoint(stage).read_bytes()
        except FileNotFoundError:
            return None

    def keep_checkpoint(self, stage: StageName, state: bytes) -> None:
        """Keep how far a stage has come."""
        write_atomically(self._checkpoint(stage), state, what="checkpoint")

    def _path(self, stage: StageName) -> Path:
        return self._folder / f"{stage}-{self._seed}.npz"

    def _checkpoint(self, stage: StageName) -> Path:
        return self._folder / f"{stage}-{self._seed}.checkpoint.npz"
