"""A growing stack of images in the smallest type that holds them, at no more memory than the result.

Knows numpy only; what the images mean is for others.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LADDER = tuple(np.dtype(name) for name in ("uint8", "uint16", "uint32", "float32"))
_BLOCK = 2**20


class ImageStack:
    """Images are added in order; `finish` gives `(cluster, height, width, band)`.

    As long as all values are whole and non-negative they are kept in the smallest unsigned type, else in
    float32. The buffer is laid out for the widest type, but the system hands out memory only where it is
    written, and widening happens in place from the end: the peak is the result, not twice that.
    """

    def __init__(self, shape: tuple[int, ...], capacity: int) -> None:
        self._shape = tuple(shape)
        self._pixels = int(np.prod(shape))
        self._buffer: Array = np.empty(capacity * self._pixels * 4, np.uint8)
        self._count = 0
        self._level = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type so far."""
        return _LADDER[self._level]

    def add(self, images: Array, *, counts: bool | None = None) -> None:
        """Append `(cluster, height, width, band)`; `counts` says whether all are, where the caller knows."""
        level = max(self._level, _level_of(images, counts))
        if level > self._level:
            self._widen(level)
        start, stop = self._count * self._pixels, (self._count + len(images)) * self._pixels
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is reported as such
            self._buffer.view(self.dtype)[start:stop] = images.reshape(-1)
        self._count += len(images)

    def finish(self) -> Array:
        """Return the result and let go of it; the stack is empty afterwards."""
        used = self._count * self._pixels * self.dtype.itemsize
        buffer, dtype = self._buffer, self.dtype
        self._buffer, count, self._count = np.empty(0, np.uint8), self._count, 0
        buffer.resize(used, refcheck=False)
        return buffer.view(dtype).reshape(count, *self._shape)

    def _widen(self, level: int) -> None:
        narrow, wide = self._buffer.view(self.dtype), self._buffer.view(_LADDER[level])
        # From the end: block k of the wide view covers only blocks of the narrow one that are done already,
        # and itself, of which a copy is taken.
        for start in reversed(range(0, self._count * self._pixels, _BLOCK)):
            stop = min(start + _BLOCK, self._count * self._pixels)
            wide[start:stop] = narrow[start:stop].copy()
        self._level = level


def smallest_type(images: Array) -> np.dtype[Any]:
    """Return the smallest type of the stack that holds these images."""
    return _LADDER[_level_of(images, None)]


def _level_of(images: Array, counts: bool | None) -> int:
    """Find the lowest rung that holds the images; the last one is not counts."""
    if images.size == 0:
        return 0
    if images.dtype.kind == "b":
        return 0
    if counts is None:
        counts = images.dtype.kind == "u" or bool(images.min() >= 0)
        if counts and images.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                counts = bool((images == np.floor(images)).all())
    if not counts:
        return len(_LADDER) - 1
    highest = images.max()
    for level, dtype in enumerate(_LADDER[:-1]):
        if highest <= np.iinfo(dtype).max:
            return level
    return len(_LADDER) - 1
