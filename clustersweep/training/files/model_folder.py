"""The model folder: what `train` writes and `predict` reads. Nothing that is read is ever run, and no TensorFlow here.

Weights are arrays of numbers; what they mean is in the manifest, from which the network is built anew.
"""

import csv
import functools
import hashlib
import io
import json
import math
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from clustersweep.errors import ModelError, Problem
from clustersweep.files import json_digest, write_atomically
from clustersweep.study.events import DamagedCheckpointError
from clustersweep.training.files.checkpoint import Arrays, pack_weights, unpack_weights
from clustersweep.training.files.known_clusters import KnownClusters, known_clusters
from clustersweep.training.files.trained_model import TrainedModel, cross_checks, misfit, weight_shapes
from clustersweep.words import command

__all__ = ["TrainedModel", "read_clusters", "read_model", "write_model"]

MANIFEST = "model.json"
CONFIGURATION = "config.yaml"
CLUSTERS = "clusters.csv"  # not in folders that earlier versions wrote
FORMAT, VERSION = "clustersweep-model", 1

_MOST_MANIFEST_BYTES, _MOST_CONFIGURATION_BYTES, _MOST_CLUSTERS_BYTES = 2**22, 2**22, 2**30
_MOST_NOTES, LONGEST_NOTE = 100, 200  # of the provenance
_VOUCHED_FOR = re.compile(r"config\.yaml|clusters\.csv|weights/seed-[0-9]{1,20}\.npz")
_FILE_DIGEST, _DATA_DIGEST = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{1,64}")
_ROOM_BYTES = 2**10  # that an npz file takes for each array beside its numbers

_AGAIN = "Copy the folder again from where it came, or run `clustersweep train` again."


def write_model(model: TrainedModel, folder: Path, other_files: Iterable[str] = ()) -> str:
    """Write `weights/seed-N.npz`, and last `model.json`, without which there is no model; give the model's digest.

    Args:
        model: The model.
        folder: Made if missing.
        other_files: What else the manifest vouches for, where it is there: `config.yaml` and `clusters.csv` can be.

    Raises:
        StorageError: The folder cannot be written.
        ValueError: The model contradicts itself.
    """
    wrong = [f"{key}: {rule}" for key, rule in (*cross_checks(model), *_unfit_notes(model.provenance))]
    if wrong:
        raise ValueError("; ".join(wrong))
    (folder / MANIFEST).unlink(missing_ok=True)  # it belongs to other weights
    files = {}
    for seed, weights in zip(model.seeds, model.members, strict=True):
        data = pack_weights(weights)
        write_atomically(folder / _weights_file(seed), data, what="weights")
        files[_weights_file(seed)] = hashlib.sha256(data).hexdigest()
    for name in other_files:
        if (folder / name).is_file():
            if name not in (CONFIGURATION, CLUSTERS):
                raise ValueError(f"{name} is no file of a model")
            files[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    plain = asdict(replace(model, members=(), provenance=dict(model.provenance)))
    del plain["members"]
    content = {"format": FORMAT, "version": VERSION, **plain, "files": files}
    digest = json_digest(content)
    text = json.dumps(content | {"digest": digest}, indent=2, allow_nan=False)
    write_atomically(folder / MANIFEST, f"{text}\n".encode(), what="model")
    return digest


def read_model(folder: Path) -> tuple[TrainedModel, str]:
    """Read a model and its digest.

    Raises:
        ModelError: The folder is no model's, is incomplete or was altered, or the weights do not fit the network.
    """
    path = folder / MANIFEST
    content = _read_manifest(folder)
    digest, files = _vouched(path, content)
    model = _model(path, content)
    unfit = (*cross_checks(model, weights=False), *_unfit_notes(model.provenance))
    _raise(Problem(str(path), key, "", rule, _AGAIN) for key, rule in unfit)
    _raise(_altered(folder, files, [_weights_file(seed) for seed in model.seeds]))
    shapes = weight_shapes(model)
    problems: list[Problem] = []
    members = []
    for seed in model.seeds:
        found = _read_weights(folder, _weights_file(seed), files[_weights_file(seed)], shapes)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            members.append(found)
    _raise(problems)
    return replace(model, members=tuple(members)), digest


def read_clusters(folder: Path) -> KnownClusters | None:
    """Read which clusters a model was made with; None in a folder of an earlier version, which does not say.

    Raises:
        ModelError: The folder is no model's, or the file was altered.
    """
    _, files = _vouched(folder / MANIFEST, _read_manifest(folder))
    if CLUSTERS not in files:
        return None
    data = _read(folder, CLUSTERS, _MOST_CLUSTERS_BYTES, "is too large for a list of clusters")
    if isinstance(data, Problem):
        raise ModelError([data])
    if hashlib.sha256(data).hexdigest() != files[CLUSTERS]:
        raise ModelError([_other_content(folder / CLUSTERS)])
    try:
        return known_clusters(io.StringIO(data.decode(), newline=""))
    except (ValueError, csv.Error) as error:
        raise ModelError([Problem(str(folder / CLUSTERS), "", "", f"cannot be read ({error})", _AGAIN)]) from error


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        rule = "is a file, and the folder of a model is expected" if folder.exists() else "there is no such folder"
        _raise([Problem(str(folder), "", "", rule, "Give the folder that `clustersweep train --to` wrote.")])
    if not _there(path):
        rule, remedy = f"holds no {MANIFEST}", "Give the folder that `clustersweep train --to` wrote."
        if (folder / "provenance.json").exists():
            rule = f"{rule}: it is what `clustersweep export` wrote"
            remedy = f"Train first: {command('train', folder / 'config.yaml', '--to', 'model/')}"
        elif (folder / "config.yaml").exists():
            rule, remedy = f"{rule}: its training has not finished", "Run `clustersweep train` again: it goes on."
        _raise([Problem(str(folder), "", "", rule, remedy)])
    data = _read(folder, MANIFEST, _MOST_MANIFEST_BYTES, "is too large for a manifest")
    if isinstance(data, Problem):
        raise ModelError([data])
    try:
        content = json.loads(data, parse_constant=_number, parse_float=_number)
        if not isinstance(content, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise ModelError([Problem(str(path), "", "", f"cannot be read as JSON ({error})", _AGAIN)]) from error
    if content.get("format") != FORMAT:
        rule = f"must be {FORMAT}"
        _raise([Problem(str(path), "format", str(content.get("format"))[:40], rule, "Give the folder of a model.")])
    if content.get("version") != VERSION:
        rule = f"is a version that this clustersweep does not know; it reads {VERSION}"
        remedy = "Use the clustersweep that wrote it, or train again with this one."
        _raise([Problem(str(path), "version", str(content.get("version"))[:40], rule, remedy)])
    return content


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def _vouched(path: Path, content: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Check the manifest's digest of itself, and take the digests of the files out of it."""
    claimed, files = content.pop("digest", None), content.get("files")
    if claimed != json_digest(content):
        rule = "was edited: its digest is that of another content"
        _raise([Problem(str(path), "digest", str(claimed)[:40], rule, _AGAIN)])
    if not isinstance(files, dict) or not all(isinstance(value, str) for value in files.values()):
        _raise([Problem(str(path), "files", "", "must give a digest for every file", _AGAIN)])
    _raise(
        Problem(str(path), "files", name[:80], f"must be {CONFIGURATION}, {CLUSTERS} or weights/seed-N.npz", _AGAIN)
        for name in content["files"]
        if not _VOUCHED_FOR.fullmatch(name)
    )
    _raise(
        Problem(str(path), f"files.{name}", value[:80], "must be a digest of 64 hexadecimal digits", _AGAIN)
        for name, value in content["files"].items()
        if not _FILE_DIGEST.fullmatch(value)
    )
    return str(claimed), dict(content.pop("files"))


def _model(path: Path, content: Mapping[str, Any]) -> TrainedModel:
    """Turn the manifest into a model without its weights, every type and bound checked."""
    import pydantic  # takes as long to import as all the rest

    values = {key: value for key, value in content.items() if key not in ("format", "version")}
    try:
        # As JSON, where strictness means the file's own types, yet a list may be a tuple.
        checked = _schema().model_validate_json(json.dumps(values), strict=True)
    except pydantic.ValidationError as error:
        raise ModelError(
            Problem(
                str(path),
                ".".join(map(str, one["loc"])),
                str(one["input"])[:80],
                f"is not valid ({one['msg']})",
                _AGAIN,
            )
            for one in error.errors(include_url=False)
        ) from None
    return TrainedModel(members=(), **{name: getattr(checked, name) for name in type(checked).model_fields})


@functools.cache
def _schema() -> Any:
    import pydantic

    hints = get_type_hints(TrainedModel, include_extras=True)
    known: Any = {field.name: (hints[field.name], ...) for field in fields(TrainedModel) if field.name != "members"}
    return pydantic.create_model("Manifest", __config__=pydantic.ConfigDict(extra="forbid"), **known)


def _altered(folder: Path, files: Mapping[str, str], needed: list[str]) -> Iterator[Problem]:
    """Yield the files that are missing or, weights aside, altered; weights are looked at when they are read."""
    for name in needed:
        if name not in files:
            yield Problem(str(folder / MANIFEST), "files", "", f"must give the digest of {name}", _AGAIN)
    for name in files:
        if name not in (*needed, CONFIGURATION, CLUSTERS):
            yield Problem(str(folder / MANIFEST), "files", name, "is of no seed of the model", _AGAIN)
    missing = [folder / name for name in files if not _there(folder / name)]
    for path in missing:
        yield Problem(str(path), "", "", "is missing from the model's folder", _AGAIN)
    if CONFIGURATION in files and folder / CONFIGURATION not in missing:
        data = _read(folder, CONFIGURATION, _MOST_CONFIGURATION_BYTES, "is too large for a configuration")
        if isinstance(data, Problem):
            yield data
        elif hashlib.sha256(data).hexdigest() != files[CONFIGURATION]:
            yield _other_content(folder / CONFIGURATION)


def _unfit_notes(notes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what the provenance must not hold, as headers of tables and reports take it over."""
    if len(notes) > _MOST_NOTES:
        yield "provenance", f"must have at most {_MOST_NOTES} entries"
    if any(not text.isprintable() or len(text) > LONGEST_NOTE for item in notes.items() for text in item):
        yield "provenance", f"must be printable text of at most {LONGEST_NOTE} characters each"
    if "data_digest" in notes and not _DATA_DIGEST.fullmatch(notes["data_digest"]):
        yield "provenance.data_digest", "must be hexadecimal digits, at most 64"


def _there(path: Path) -> bool:
    """Tell whether there is anything of this name, a link to nowhere too."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # whoever reads it says what is wrong
    return True


def _read(folder: Path, name: str, most: int, too_large: str) -> bytes | Problem:
    """Read a plain file inside the folder, at most so many bytes, or say what is wrong with it.

    Links are refused: a folder from elsewhere must not make us read what lies outside.
    """
    path = folder / name
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or (path.parent != folder and path.parent.is_symlink()):
            rule = "must be a plain file inside the model's folder, no link"
            return Problem(str(path), "", "", rule, "Copy the file itself to this place.")
        if status.st_size > most:
            return Problem(str(path), "size", f"{status.st_size:,} bytes", too_large, _AGAIN)
        return path.read_bytes()
    except OSError as error:
        return Problem(str(path), "", "", f"cannot be read ({error.strerror})", "Check its permissions.")


def _other_content(path: Path) -> Problem:
    return Problem(str(path), "", "", "was altered: its digest is not the one in the manifest", _AGAIN)


def _read_weights(folder: Path, name: str, digest: str, shapes: list[tuple[int, ...]]) -> Arrays | Problem:
    """Read the weights of one network, or say what is wrong with them."""
    path = folder / name
    most = sum(4 * math.prod(shape) + _ROOM_BYTES for shape in shapes) + _ROOM_BYTES
    data = _read(folder, name, most, "does not fit the network")
    if isinstance(data, Problem):
        return data
    try:
        if hashlib.sha256(data).hexdigest() != digest:
            return _other_content(path)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > most:
            return Problem(str(path), "size", f"{unpacked:,} bytes", "does not fit the network", _AGAIN)
        arrays = unpack_weights(data)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile, DamagedCheckpointError) as error:
        return Problem(str(path), "", "", f"cannot be read as weights ({error})", _AGAIN)
    rule = misfit(arrays, shapes)
    return Problem(str(path), "", "", rule, _AGAIN) if rule else arrays


def _weights_file(seed: int) -> str:
    return f"weights/seed-{seed}.npz"


def _raise(problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        raise ModelError(found)
