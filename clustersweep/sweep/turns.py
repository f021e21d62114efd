"""The launches of one user on one machine share its CPUs and GPUs: each takes a turn, and trains when it has room.

A turn is a file that is locked while its launch lives, numbered in the order in which they came. A launch has room when
all that came before it and have not ended leave it enough: so one that has room keeps it, the first one always has,
and none that waits is passed by. A killed launch gives its turn back at once, as the system ends its lock.
"""

import contextlib
import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from clustersweep.cpus import allowed_cpus, available_cpus
from clustersweep.errors import WorkersError
from clustersweep.sweep.timings import Clock, Timings
from clustersweep.words import duration

FOLDER = "CLUSTERSWEEP_LAUNCHES"
"""The environment variable that moves the folder in which turns are taken."""


@dataclass(frozen=True)
class Claim:
    """What a launch on this machine takes, for others to read: nothing of it is secret.

    Attributes:
        study: The study's name.
        pid: The launch's process.
        since: When it came, in seconds since 1970.
        cpus: How many CPUs it takes.
        of: How many CPUs it may use.
        among: The numbers of the CPUs that it may run on: a part of the machine's where it is pinned.
        gpus: The names of the GPUs that it may use, all of which it takes.
    """

    study: str
    pid: int
    since: float
    cpus: int
    of: int
    among: tuple[int, ...]
    gpus: tuple[str, ...] = ()


def free_cpus(claim: Claim, before: Sequence[Claim]) -> int:
    """Return how many of the CPUs that a launch may use those that came before leave; less than 0 where they share."""
    mine = set(claim.among)
    return claim.of - sum(min(other.cpus, len(mine.intersection(other.among))) for other in before)


def shared_gpus(claim: Claim, before: Sequence[Claim]) -> set[str]:
    """Return the GPUs of a launch that some that came before it take, too."""
    return {gpu for other in before for gpu in other.gpus} & set(claim.gpus)


def has_room(claim: Claim, before: Sequence[Claim]) -> bool:
    """Say whether a launch has room beside all that came before it."""
    return claim.cpus <= free_cpus(claim, before) and not shared_gpus(claim, before)


def why_not(claim: Claim, before: Sequence[Claim], cpus_per_worker: int) -> tuple[str, str]:
    """Return why a launch has no room, with a line for each that came before it, and what would let it train."""
    lines = []
    for number, one in enumerate(before):
        state = "trains" if has_room(one, before[:number]) else "waits, too"
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.since))
        lines.append(f"\n  {one.study}: {_taken(one)}, process {one.pid}, since {since}, {state}")
    why = f"it takes {_taken(claim, f' of {claim.of}')}, and these came first:" + "".join(lines)
    workers = free_cpus(claim, before) // cpus_per_worker
    if shared_gpus(claim, before):
        return why, "Launches run side by side on GPUs of their own (CUDA_VISIBLE_DEVICES)"
    if workers > 0:
        return why, f"With --workers {workers} it has room now"
    return why, "Launches run side by side with fewer --workers each, or all on one Ray cluster (--address)"


def _taken(claim: Claim, of: str = "") -> str:
    gpus = f" and GPU {', '.join(claim.gpus)}" if claim.gpus else ""
    return f"{claim.cpus}{of} {'CPU' if claim.cpus == 1 and not of else 'CPUs'}{gpus}"


def claim_of(study: str, workers: int, cpus_per_worker: int, *, gpus: bool) -> Claim:
    """Return what a launch of this process takes with at most so many workers, and with GPUs where there are any."""
    most = available_cpus()
    return Claim(
        study=study,
        pid=os.getpid(),
        since=time.time(),
        cpus=min(most, workers * cpus_per_worker),
        of=most,
        among=allowed_cpus(),
        gpus=visible_gpus(os.environ) if gpus else (),
    )


def visible_gpus(environ: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all."""
    there = tuple(sorted(path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*")))
    if not there or "CUDA_VISIBLE_DEVICES" not in environ:
        return there
    named = (name.strip() for name in environ["CUDA_VISIBLE_DEVICES"].split(","))
    return tuple(name for name in named if name not in {"", "-1"})


def folder_of_turns(environ: Mapping[str, str], uid: int) -> Path:
    """Return where the launches of a user on this machine take turns; no home, as several machines may share one."""
    return Path(environ.get(FOLDER) or Path(tempfile.gettempdir()) / f"clustersweep-{uid}")


class Turn:
    """The turn of this launch, from its taking to `release`.

    Args:
        folder: Where turns are taken; made where missing, closed to other users.
        claim: What the launch takes.

    Raises:
        WorkersError: The folder cannot be used, or others can write there.
    """

    def __init__(self, folder: Path, claim: Claim) -> None:
        self._folder, self.claim = folder, claim
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise OSError("it is no folder that only you can write to")
            # Locked, too, so that what cleans temporary folders leaves it and all in it alone.
            self._there = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._there, fcntl.LOCK_SH)
            with (folder / "lock").open("a") as taking:
                fcntl.flock(taking, fcntl.LOCK_EX)  # for a moment: others take their turn before this, or after
                self._number = max((number for number, _ in self._numbered()), default=0) + 1
                self._file = (folder / str(self._number)).open("x")
                fcntl.flock(self._file, fcntl.LOCK_EX)
                json.dump(asdict(claim), self._file)
                self._file.flush()
        except OSError as error:
            raise WorkersError(
                f"{folder}: launches on this machine cannot take turns there: {error.strerror or error}. Remove it, or "
                f"name a folder of your own with {FOLDER}"
            ) from error

    def before(self) -> list[Claim]:
        """Return what those take that came before and have not ended, the first one first."""
        claims = []
        for number, path in self._numbered():
            if number < self._number:
                with contextlib.suppress(FileNotFoundError):  # it has just ended
                    claims += _read(path)
        return claims

    def release(self) -> None:
        """Give the turn back; twice does no harm."""
        if not self._file.closed:
            (self._folder / str(self._number)).unlink(missing_ok=True)
            self._file.close()
            os.close(self._there)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.release()

    def _numbered(self) -> list[tuple[int, Path]]:
        return sorted((int(path.name), path) for path in self._folder.iterdir() if path.name.isdecimal())


def wait_for_room(
    turn: Turn,
    cpus_per_worker: int,
    wait_s: float | None,
    tell: Callable[[str], None],
    pause: Callable[[float], bool],
    *,
    timings: Timings = Timings(),
    clock: Clock = time,
) -> None:
    """Wait until those have ended that came before a launch and leave it no room.

    Args:
        turn: The launch's.
        cpus_per_worker: CPUs of each of its workers.
        wait_s: How long at most; None for as long as it takes.
        tell: Shown what is waited for, and that there is room.
        pause: Lets so many seconds pass, and says whether room is still wanted.
        timings: When it is said that there is none.
        clock: Tells how much time has passed.

    Raises:
        WorkersError: There is no room within that time.
    """
    began_at, told, wanted = clock.monotonic(), False, True
    while wanted and not has_room(turn.claim, before := turn.before()):
        waited_s = clock.monotonic() - began_at
        why, remedy = why_not(turn.claim, before, cpus_per_worker)
        if wait_s is not None and waited_s >= wait_s:
            after = f" after {duration(waited_s)}" if wait_s else ""
            raise WorkersError(
                f"no room on this machine{after}: {why}\n{remedy}. Else launch again later, or wait longer (--wait)"
            )
        if not told and waited_s >= timings.tell_after_s:
            most = "" if wait_s is None else f" for {duration(wait_s)} at most"
            tell(f"no room on this machine yet: {why}\nwaiting{most}, then this goes on by itself. {remedy}")
            told = True
        wanted = pause(1.0)
    if told and wanted:
        tell(f"room on this machine after {duration(clock.monotonic() - began_at)}")


def _read(path: Path) -> list[Claim]:
    """Return what a launch takes; nothing, and its file removed, where that has been killed.

    Whoever came before this launch has locked its file before.
    """
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            told = json.load(file)
            return [Claim(**told | {"among": tuple(told["among"]), "gpus": tuple(told["gpus"])})]
        path.unlink()
        return []
