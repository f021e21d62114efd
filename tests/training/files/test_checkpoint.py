"""A checkpoint is read back as it was written, or recognised as damaged or another's."""

import contextlib

import numpy as np
import pytest

from clustersweep.study.events import DamagedCheckpointError
from clustersweep.training.files.checkpoint import Progress, pack_state, pack_weights, unpack_state, unpack_weights


def test_a_checkpoint_is_read_back_as_it_was_written():
    progress = Progress("key", 2, 1, 3.5, 0, ((0.3, 0.2), (0.25, 0.21)))
    arrays = [np.arange(3.0), np.ones((2, 2), np.float32)]
    packed = pack_state(progress, weights=arrays, best=arrays[::-1], optimizer=arrays)
    again, weights, best, optimizer = unpack_state(packed, "key")
    assert again == progress
    for series, expected in ((weights, arrays), (best, arrays[::-1]), (optimizer, arrays)):
        assert all(np.array_equal(a, b) for a, b in zip(series, expected, strict=True))


@pytest.mark.parametrize("damage", [lambda b: b[:-30], lambda b: b"", lambda b: b[:200] + b"\0" * 9 + b[209:]])
def test_a_damaged_checkpoint_is_recognised(damage):
    packed = pack_state(Progress("key", 1, 1, 1.0, 0, ((1.0, 1.0),)), weights=[np.arange(99.0)], best=[], optimizer=[])
    with pytest.raises(DamagedCheckpointError):
        unpack_state(damage(packed), "key")


def test_whatever_bit_of_a_checkpoint_is_wrong_it_is_damaged_or_harmless():
    progress = Progress("key", 1, 1, 1.0, 0, ((1.0, 1.0),))
    packed = pack_state(progress, weights=[np.ones(3)], best=[np.ones(3)], optimizer=[np.ones(1)])
    for bit in range(0, 8 * len(packed), 3):
        changed = bytearray(packed)
        changed[bit // 8] ^= 1 << (bit % 8)
        with contextlib.suppress(DamagedCheckpointError):
            unpack_state(bytes(changed), "key")


def test_a_checkpoint_of_another_replicate_is_refused():
    packed = pack_state(Progress("key", 1, 1, 1.0, 0, ()), weights=[], best=[], optimizer=[])
    with pytest.raises(DamagedCheckpointError, match="belongs to replicate key, not to other"):
        unpack_state(packed, "other")


def test_weights_that_hold_a_pickle_are_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, weights_0=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DamagedCheckpointError, match="allow_pickle"):
        unpack_weights(path.read_bytes())
    assert all(
        np.array_equal(a, b) for a, b in zip(unpack_weights(pack_weights([np.ones(2)])), [np.ones(2)], strict=True)
    )
