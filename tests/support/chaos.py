"""Small sweeps whose workers, driver, database connections and database server are killed at random moments.

Every round ends with the table of an undisturbed sweep, bit for bit, or the round has failed. Its seed decides what is
killed and when; how far the sweep is by then differs from run to run, so a failure may need a few replays.
Run as `python tests/support/chaos.py --rounds 100`, or `--seed 17` for one round again (`make chaos`).
"""

import argparse
import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from children import end

from clustersweep.errors import StorageError
from clustersweep.home import Home
from clustersweep.postgres.embedded_folder import PORT
from clustersweep.postgres.location import open_database, stop_embedded
from clustersweep.postgres.url import VARIABLES
from clustersweep.storage.store import Storage
from clustersweep.study.results import CompleteReplicate, ReplicateResult, SweepResults, combination
from clustersweep.tasks import tasks

STUDY = """
study: chaos
data: {simulate: {clusters: 240, seed: 5, pixels: 16}}
search_space: {kernel_size: [3, 5, 15], conv_blocks: [1, 2]}
network: {filters: 4, convs_per_block: 1, dense_units: [8]}
training: {epochs: 60, patience: 60, batch_size: 8}
seeds: [0, 1]
"""
# Some of its replicates.
PART = STUDY.replace("kernel_size: [3, 5, 15]", "kernel_size: [3]")
FAULTS = ("worker", "driver", "connections", "server")
# A launch of the little study takes about this long; faults are spread over it.
SPAN_S = 14.0
ROUND_LIMIT_S = 240.0
# The study without faults, also beside busy processes.
REFERENCE_LIMIT_S = 300.0
Table = dict[tuple[Any, int], tuple[Any, ...]]


class ChaosError(Exception):
    """A round that did not end as it must."""


@contextlib.contextmanager
def new_home() -> Iterator[Home]:
    """Make a home that root's embedded server, which runs as another user, can reach; stop that in the end."""
    folder = Path(tempfile.mkdtemp(prefix="clustersweep-", dir="/tmp"))
    folder.chmod(0o711)
    (folder / "home").mkdir(mode=0o711)
    (folder / "chaos.yaml").write_text(STUDY)
    home = Home(folder / "home")
    try:
        yield home
    finally:
        stop_embedded(home, force=True)
        shutil.rmtree(folder, ignore_errors=True)


def launch(home: Home) -> subprocess.Popen[str]:
    """Start a launch as a person would."""
    command = [sys.executable, "-m", "clustersweep", "launch", str(home.path.parent / "chaos.yaml")]
    kept = {name: value for name, value in os.environ.items() if name not in (*VARIABLES, "RAY_ADDRESS")}
    with (home.path.parent / "log").open("a") as log:
        environment = kept | {"CLUSTERSWEEP_HOME": str(home.path)}
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True)


def results(home: Home, study: str = "chaos") -> SweepResults | None:
    """Read what is stored of a study; None before there is anything."""
    database = open_database(None, {}, home)
    storage = Storage.connect(database.url, tasks)
    try:
        return storage.results(study)
    except StorageError:  # there is no study yet, or no more of it than its name
        return None
    finally:
        storage.close()


def table(found: SweepResults) -> Table:
    """Return every replicate's numbers, which no fault may change."""
    return {
        (combination(trial.params), seed): numbers(r) for trial in found.trials for seed, r in trial.replicates.items()
    }


def numbers(replicate: ReplicateResult) -> tuple[object, ...]:
    """Return those of a replicate that are the same wherever and however often interrupted it is trained."""
    best = (replicate.value, replicate.best_epoch) if isinstance(replicate, CompleteReplicate) else ()
    return (replicate.state, *best, replicate.epochs, replicate.curve)


def trained(found: SweepResults | None) -> Table:
    """Return who trained every complete replicate and for how long, which changes when it is trained again."""
    trials = found.trials if found else ()
    return {
        (combination(trial.params), seed): (r.worker, r.seconds)
        for trial in trials
        for seed, r in trial.replicates.items()
    }


def hit(fault: str, process: subprocess.Popen[str], home: Home, rng: random.Random) -> None:
    """Let one thing happen."""
    if fault == "driver":
        process.kill()
    elif fault == "worker":
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            lines = [(child, child.cmdline()) for child in children]
            workers = [child for child, line in lines if line and line[0].startswith("ray::ReplicateActor")]
            if workers:
                rng.choice(workers).send_signal(signal.SIGKILL)
    elif fault == "server":
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((home.database / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    else:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        # Not through `open_database`, which would start a killed server again: that is the launch's to do.
        where = {"host": str(home.database), "port": PORT, "user": "clustersweep", "dbname": "clustersweep"}
        with contextlib.suppress(psycopg2.Error), contextlib.closing(psycopg2.connect(**where)) as connection:
            connection.cursor().execute(f"{end} AND backend_type = 'client backend'")


def one_round(seed: int, expected: Table) -> Counter[str]:
    """Sweep under the faults that a seed gives, launching again as often as it takes; gives what was done.

    Raises:
        ChaosError: The end is not that of an undisturbed sweep.
    """
    rng = random.Random(seed)
    pending = sorted((rng.uniform(0.5, SPAN_S), rng.choice(FAULTS)) for _ in range(rng.randint(2, 5)))
    done: Counter[str] = Counter()
    with new_home() as home:
        started, process = time.monotonic(), launch(home)
        known: Table = {}
        since = started  # faults are timed from the newest launch
        while True:
            time.sleep(0.05)
            if time.monotonic() - started > ROUND_LIMIT_S:
                process.kill()
                raise ChaosError(f"not done after {ROUND_LIMIT_S:.0f} s\n{said(home)}")
            if process.poll() is not None:
                if process.returncode == 0:
                    break
                if process.returncode not in (-signal.SIGKILL, 3):
                    raise ChaosError(f"launch ended with {process.returncode}\n{said(home)}")
                done[f"exit {process.returncode}"] += 1
                found = trained(results(home))
                if any(found.get(key) != value for key, value in known.items()):
                    raise ChaosError(f"a complete replicate was trained again or is gone\n{said(home)}")
                known = found
                since, process = time.monotonic(), launch(home)
            elif pending and time.monotonic() - since > pending[0][0]:
                at, fault = pending.pop(0)
                pending = [(other - at + 0.5, what) for other, what in pending] if fault == "driver" else pending
                hit(fault, process, home, rng)
                done[fault] += 1
        found_in_the_end = results(home)
        if found_in_the_end is None or table(found_in_the_end) != expected:
            raise ChaosError(f"the table differs from that of an undisturbed sweep\n{said(home)}")
        now = trained(found_in_the_end)
        if any(now[key] != value for key, value in known.items()):
            raise ChaosError(f"a complete replicate was trained again\n{said(home)}")
        states = Counter(trial.state for trial in found_in_the_end.trials)
        if states["running"] or states["waiting"] or states["failed"]:
            raise ChaosError(f"left in the end: {dict(states)}\n{said(home)}")
    return done


def said(home: Home) -> str:
    """Return the end of what the launches of a home have said."""
    return (home.path.parent / "log").read_text()[-4000:]


@functools.cache
def undisturbed() -> SweepResults:
    """Sweep without faults; once, whoever asks for it."""
    with new_home() as home:
        process = launch(home)
        try:
            process.wait(REFERENCE_LIMIT_S)
        finally:
            end(process)
        if process.returncode != 0:
            raise ChaosError(f"the undisturbed sweep ended with {process.returncode}\n{said(home)}")
        found = results(home)
        if found is None:
            raise ChaosError("the undisturbed sweep stored nothing")
        return found


def main() -> None:
    """Run rounds, one after the other; stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, help="The one round of this seed.")
    parser.add_argument("--first", type=int, default=0, help="Seed of the first round.")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.rounds) if given.seed is None else [given.seed]
    expected, total = table(undisturbed()), Counter[str]()
    print(f"undisturbed: {len(expected)} replicates", flush=True)
    for seed in seeds:
        start = time.monotonic()
        try:
            done = one_round(seed, expected)
        except ChaosError as error:
            raise SystemExit(f"round with seed {seed} failed: {error}") from None
        total += done
        words = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
        print(f"seed {seed}: as undisturbed ({words}; {time.monotonic() - start:.0f} s)", flush=True)
    print(f"{len(seeds)} rounds: identical losses, no replicate twice, none missing, none left running; {dict(total)}")


if __name__ == "__main__":
    main()
