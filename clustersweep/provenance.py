"""What decides numbers beside the study: versions, and the commit."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clustersweep import __version__

PACKAGES = ("clustersweep", "tensorflow", "keras", "numpy", "optuna", "ray", "astropy", "scikit-learn")


def stamp() -> dict[str, Any]:
    """Return when, and with what, an export is made."""
    return {
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what decides the numbers."""
    return {name: _version(name) for name in PACKAGES}


def commit() -> str | None:
    """Return the commit that clustersweep runs from, `+` appended where files differ from it; None outside git."""
    here = Path(__file__).resolve().parent
    try:
        run = {"cwd": here, "capture_output": True, "text": True, "timeout": 10, "check": True}
        head: str = subprocess.run(["git", "rev-parse", "HEAD"], **run).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(["git", "status", "--porcelain", "."], **run).stdout.strip()  # type: ignore[call-overload]
        return head + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str:
    if name == "clustersweep":
        return __version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
