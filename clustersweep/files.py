"""How a file gets to its place whole, and what a JSON value is known by. Nothing here knows what is in a file."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from clustersweep.errors import ConfigurationError, Problem, StorageError

_PART = re.compile(r"\.[0-9a-f]{16}\.part")
NOBODY_WRITES_AFTER_S = 3600.0
"""A part that has not been written to for so long has no writer any more."""


def write_atomically(path: Path, data: bytes, *, what: str = "file") -> None:
    """Write a file so that its name always has the old content or the new one, whole, whatever happens.

    Missing parent folders are made. The data are on the disk when this returns.

    Args:
        path: The file.
        data: Its content.
        what: What it is, for the message of a failure (`checkpoint`, `report`).

    Raises:
        StorageError: The disk is full, the folder read-only, ...; nothing is left behind, the old file stays.
    """
    with beside(path, f"the {what} of {len(data):,} bytes") as part, part.open("xb") as file:
        file.write(data)


@contextlib.contextmanager
def beside(path: Path, what: str) -> Iterator[Path]:
    """Do as `whole`, and say what cannot be written.

    Args:
        path: The file.
        what: What it is, for the message of a failure (`the backup`).

    Raises:
        StorageError: The disk is full, the folder read-only, ...; nothing is left behind, the old file stays.
    """
    try:
        with whole(path) as part:
            yield part
    except OSError as error:
        raise StorageError(f"{path}: {what} cannot be written: {why(error)}. {_remedy(error)}") from error


@contextlib.contextmanager
def whole(path: Path, part: Path | None = None) -> Iterator[Path]:
    """Return a name beside a path; the file or folder that the block makes there takes the path, unless it fails.

    Missing parent folders are made. A file is on the disk before it takes its name, and so are those that lie directly
    in a folder: a rename may survive a power cut that a content does not.

    Args:
        path: The file or folder.
        part: The name to use, on the same disk; what an earlier writer left there is removed. Default: a free name
            that `remove_parts` knows.

    Raises:
        OSError: The disk is full, the folder read-only, ...; nothing is left behind, what was there before stays.
    """
    part = part or path.with_name(f".{secrets.token_hex(8)}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(part)
    try:
        yield part
        for file in [part] if part.is_file() else [entry for entry in part.iterdir() if entry.is_file()]:
            _sync(file)
        part.replace(path)
    except BaseException:
        remove(part)
        raise
    with contextlib.suppress(OSError):  # not every file system can
        _sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def is_part(path: Path) -> bool:
    """Return whether this is what `beside` writes to: half a file, for ever if its writer was killed."""
    return _PART.fullmatch(path.name) is not None


def remove_parts(folder: Path, *, older_than_s: float = -math.inf) -> None:
    """Remove what writers that were killed have left in a folder and all below it, as far as that can be removed.

    Args:
        folder: Where; that there is none is no error.
        older_than_s: Leave alone what was written to later than this, in seconds: its writer may live.
    """
    for path in [path for path in folder.rglob(".*.part") if is_part(path)]:
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime >= older_than_s:
                path.unlink()


def require_unedited(path: Path, content: bytes) -> None:
    """Make sure that an export replaces a file by nothing but what is in it already: a person may have edited it.

    Raises:
        ConfigurationError: It is there, and differs.
        StorageError: It cannot be read.
    """
    try:
        same = path.read_bytes() == content
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}. Choose another --to") from None
    if not same:
        rule = "differs from what would be written: it was edited, or is another export's"
        remedy = "Write to another folder with --to, or replace it with --force."
        raise ConfigurationError([Problem(str(path), "", "", rule, remedy)])


def json_digest(value: object) -> str:
    """Return 16 hexadecimal digits that stand for a JSON value, however its keys are ordered and it is laid out.

    Raises:
        ValueError: A number in it is not finite.
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def why(error: OSError) -> str:
    """Return why the disk refused, in words."""
    known = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your disk quota is used up"}
    return known.get(error.errno or 0, (error.strerror or str(error)).lower())


def _remedy(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "Free some space or choose another disk; what was there before is unharmed"
    return "Make the folder writable or choose another"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
