"""The state of a replicate as the bytes of an npz file: arrays and one JSON text, never a pickle."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.study.events import DamagedCheckpointError, Device

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Progress:
    """How far a replicate has come, beside its arrays.

    Attributes:
        key: The replicate's key: a checkpoint of another replicate is refused.
        epoch: Epochs done.
        best_epoch: The epoch with the lowest validation loss.
        seconds: Time spent training so far.
        resumed: How often it was continued.
        curve: `(loss, val_loss)` of every epoch, dex^2.
        nll_curve: `(nll, val_nll)` of every epoch, where the network has a variance.
        devices: What computed these epochs, in their order; none where an older version computed a part.
    """

    key: str
    epoch: int
    best_epoch: int
    seconds: float
    resumed: int
    curve: tuple[tuple[float, float], ...]
    nll_curve: tuple[tuple[float, float], ...] = ()
    devices: tuple[Device, ...] = ()


def pack_state(progress: Progress, *, weights: Arrays, best: Arrays, optimizer: Arrays) -> bytes:
    """Write a checkpoint's bytes."""
    arrays = {f"weights_{i}": a for i, a in enumerate(weights)}
    arrays |= {f"best_{i}": a for i, a in enumerate(best)}
    arrays |= {f"optimizer_{i}": a for i, a in enumerate(optimizer)}
    arrays["progress"] = np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)
    return _pack(arrays)


def unpack_state(state: bytes, key: str) -> tuple[Progress, Arrays, Arrays, Arrays]:
    """Read a checkpoint: progress, weights, best weights, optimizer.

    Raises:
        DamagedCheckpointError: Truncated, altered, or of another replicate.
    """
    arrays = _unpack(state)
    progress = _progress(arrays, key)
    return progress, _series(arrays, "weights"), _series(arrays, "best"), _series(arrays, "optimizer")


def progress_of(state: bytes, key: str) -> Progress:
    """Read how far a checkpoint has come.

    Raises:
        DamagedCheckpointError: Truncated, altered, or of another replicate.
    """
    return _progress(_unpack(state), key)


def _progress(arrays: dict[str, NDArray[np.generic]], key: str) -> Progress:
    try:
        values = json.loads(arrays["progress"].tobytes())
        for name in ("curve", "nll_curve"):
            values[name] = tuple((float(loss), float(val)) for loss, val in values.get(name, ()))
        values["devices"] = tuple(Device(**device) for device in values.get("devices", ()))
        progress = Progress(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(f"no progress record: {error}") from error
    if progress.key != key:
        raise DamagedCheckpointError(f"belongs to replicate {progress.key}, not to {key}")
    return progress


def pack_weights(weights: Arrays) -> bytes:
    """Write weights as an npz file's bytes."""
    return _pack({f"weights_{i}": a for i, a in enumerate(weights)})


def unpack_weights(data: bytes) -> Arrays:
    """Read weights.

    Raises:
        DamagedCheckpointError: Truncated or altered.
    """
    return _series(_unpack(data), "weights")


def pack_record(record: Mapping[str, Any], weights: Arrays) -> bytes:
    """Write weights with what is known of them, as JSON values, as an npz file's bytes."""
    arrays: dict[str, NDArray[Any]] = {f"weights_{i}": a for i, a in enumerate(weights)}
    return _pack(arrays | {"record": np.frombuffer(json.dumps(record).encode(), np.uint8)})


def unpack_record(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """Read weights with what is known of them.

    Raises:
        DamagedCheckpointError: Truncated or altered.
    """
    arrays = _unpack(data)
    try:
        record = json.loads(arrays["record"].tobytes())
    except (KeyError, ValueError) as error:
        raise DamagedCheckpointError(f"no record: {error}") from error
    if not isinstance(record, dict):
        raise DamagedCheckpointError("its record is no mapping")
    return record, _series(arrays, "weights")


def _pack(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its options
    return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}  # zip checks every array's CRC
    except Exception as error:  # damage comes out of zipfile and numpy as half a dozen kinds of error
        raise DamagedCheckpointError(str(error)) from error


def _series(arrays: dict[str, NDArray[np.generic]], name: str) -> Arrays:
    count = sum(key.startswith(f"{name}_") for key in arrays)
    try:
        return [arrays[f"{name}_{i}"] for i in range(count)]
    except KeyError as error:
        raise DamagedCheckpointError(f"array {error} is missing") from error
