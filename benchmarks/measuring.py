"""What the benchmarks share: processes with their time and memory, the machine in words, homes, tables, result files.

Nothing here knows what is measured. Every script is run as `python benchmarks/NAME.py`, and may be run alone.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PEERS = Path(__file__).parent / "peers"
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
CLUSTERSWEEP = [sys.executable, "-m", "clustersweep"]
PACKAGES = ("tensorflow", "keras", "ray", "optuna", "numpy")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}


@dataclass
class Finished:
    """A process that has ended.

    Attributes:
        seconds: From its start to its end.
        out: What it said on stdout.
        lines: What it said on stderr: seconds since its start, and the line.
        peak_mib: Largest resident set of the process itself.
    """

    seconds: float
    out: str
    lines: list[tuple[float, str]] = field(default_factory=list)
    peak_mib: float = 0.0

    def when(self, begins: str) -> float:
        """Return the seconds after which a line with this beginning was said on stderr."""
        return next(at for at, line in self.lines if line.startswith(begins))


def run(
    command: Sequence[object], *, home: Path | None = None, code: int = 0, limit_s: float | None = None
) -> Finished:
    """Run a process to its end and time it; ends the benchmark with what it said where it fails."""
    environment = {**os.environ, **QUIET, **({"CLUSTERSWEEP_HOME": str(home)} if home else {})}
    words = [str(word) for word in command]
    lines: list[tuple[float, str]] = []
    with tempfile.TemporaryFile("w+") as out:
        start = time.monotonic()
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)

        def listen() -> None:
            for line in process.stderr or ():
                lines.append((time.monotonic() - start, line.rstrip("\n")))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            _, status, usage = wait(process, limit_s)
        except BaseException:
            process.kill()
            raise
        seconds = time.monotonic() - start
        listener.join(5.0)  # what a process leaves running may keep stderr open
        out.seek(0)
        said = out.read()
    if os.waitstatus_to_exitcode(status) != code:
        told = "\n".join(line for _, line in lines[-40:])
        raise SystemExit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}\n{said[-4000:]}\n{told}")
    return Finished(seconds, said, lines, usage.ru_maxrss / 1024)


def wait(process: subprocess.Popen[str], limit_s: float | None) -> tuple[int, int, Any]:
    """Wait for a process as `os.wait4` does, which alone tells what it used; kill it at the limit."""
    watchdog = threading.Timer(limit_s, process.kill) if limit_s else None
    if watchdog:
        watchdog.start()
    try:
        found = os.wait4(process.pid, 0)
    finally:
        if watchdog:
            watchdog.cancel()
    process.returncode = os.waitstatus_to_exitcode(found[1])
    return found


def run_json(command: Sequence[object], *, home: Path | None = None, limit_s: float | None = None) -> Any:
    """Run a process whose last line on stdout is JSON, and give that."""
    return json.loads(run(command, home=home, limit_s=limit_s).out.strip().splitlines()[-1])


@contextlib.contextmanager
def fresh_home(surveys: Path | None = None) -> Iterator[Path]:
    """Make a home that nothing was done in, with surveys that are there already; stops its database at the end.

    Below /tmp and open to be passed through: the embedded server of root runs as another user.
    """
    folder = Path(tempfile.mkdtemp(prefix="clustersweep-", dir="/tmp"))
    folder.chmod(0o711)
    home = folder / "home"
    home.mkdir(mode=0o711)
    if surveys is not None:
        shutil.copytree(surveys, home / "surveys")
    try:
        yield home
    finally:
        subprocess.run([*CLUSTERSWEEP, "stop", "--home", str(home), "--force"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def write_study(folder: Path, name: str, sections: Mapping[str, Any]) -> Path:
    """Write a study file. JSON is YAML, too."""
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"study": name, **sections}, indent=1))
    return path


def machine() -> dict[str, Any]:
    """Describe what a result was measured on, and when."""
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def version_beside(python: Path, package: str) -> str:
    """Return the version of a package that another Python has."""
    program = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return run([python, "-c", program]).out.strip()


def write_result(name: str, result: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Write a benchmark's result as JSON, with the machine."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")


def read_result(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Read a benchmark's last result; empty where there is none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out as a Markdown table."""
    cells = [[str(title) for title in titles], ["---"] * len(titles), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write a median and, of several values, their range."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) < 2 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def options(description: str | None) -> argparse.ArgumentParser:
    """Begin the command line of a benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=PEERS_PYTHON, help="Python that has the peers installed.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="Folder for the JSON.")
    parser.add_argument("--quick", action="store_true", help="The smallest size that shows that it works.")
    return parser
