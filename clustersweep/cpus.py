"""How many CPUs this process may use, of the machine's those that affinity and cgroups leave it, and of which kind."""

import contextlib
import functools
import math
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of CPUs that this process may use, at least 1; a part of one counts as one.

    Args:
        root: Where `proc` and `sys` are.
    """
    return max(1, math.ceil(min([len(allowed_cpus()), *_quotas(root)])))


def allowed_cpus() -> tuple[int, ...]:
    """Return the numbers of the CPUs that this process may run on: a part of the machine's where it is pinned."""
    return tuple(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


@functools.cache
def cpu_model(root: Path = Path("/")) -> str:
    """Return the name of this machine's kind of CPU, as Linux has it, else as well as Python knows.

    Args:
        root: Where `proc` is.
    """
    with contextlib.suppress(OSError):
        told = re.search(r"^model name\s*:\s*(\S.*?)\s*$", (root / "proc/cpuinfo").read_text(), re.MULTILINE)
        if told:
            return told[1]
    return platform.processor() or platform.machine() or "of unknown model"


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in CPUs, of this process's cgroups and of all that they are in; of versions 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container the path may be the host's, and only the root is there; others have it by its own name.
        inside = PurePosixPath(path.lstrip("/"))
        for base in [mounted / controllers, mounted / "cpu"] if controllers else [mounted, mounted / "unified"]:
            for folder in {base, base / inside, *(base / parent for parent in inside.parents)}:
                with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
                    yield _quota(folder, first_version=bool(controllers))


def _quota(folder: Path, *, first_version: bool) -> float:
    """Return a cgroup's quota in CPUs; infinite where it has none.

    Raises:
        OSError, ValueError, ZeroDivisionError: It has no such files, or they hold something else.
    """
    if first_version:
        quota = (folder / "cpu.cfs_quota_us").read_text().strip()
        period = (folder / "cpu.cfs_period_us").read_text().strip()
    else:
        quota, period = (folder / "cpu.max").read_text().split()
    return math.inf if quota in {"max", "-1"} else int(quota) / int(period)
