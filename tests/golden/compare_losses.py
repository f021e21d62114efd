#!/usr/bin/env python3
"""Train the golden studies with the working tree and with another commit, and compare all losses to the last bit.

On one machine only: another kind of CPU may change the last bits. Needs git, and the environment of the working tree,
whose libraries both use.

Usage: python tests/golden/compare_losses.py [--with COMMIT]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDIES = ("finished", "optimizers", "views")
READ = """
import json, os, sys
from clustersweep.home import find_home
try:
    from clustersweep.postgres.location import open_database
    from clustersweep.tasks import tasks
    from clustersweep.storage.store import Storage
    connect = lambda url: Storage.connect(url, tasks)
except ModuleNotFoundError:  # a commit before the package had folders
    from clustersweep.postgres import open_database
    from clustersweep.storage import Storage
    connect = Storage.connect

storage = connect(open_database(None, os.environ, find_home(None, os.environ, os.getuid())).url)
print(json.dumps({
    f"{name} {sorted(trial.params.items())} seed {seed}": [float(x).hex() for pair in result.curve for x in pair]
    for name in sys.argv[1:]
    for trial in storage.results(name).trials
    for seed, result in trial.replicates.items()
}))
"""


def losses(package: Path) -> dict[str, list[str]]:
    """Train with the package of a folder; gives both losses of every epoch of every replicate, in hexadecimal."""
    with tempfile.TemporaryDirectory(prefix="clustersweep-", dir="/tmp") as folder:
        os.chmod(folder, 0o711)  # root's server runs as another user
        env = {**os.environ, "PYTHONPATH": str(package), "CLUSTERSWEEP_HOME": f"{folder}/home"}

        def run(*words: str) -> str:
            done = subprocess.run(
                [sys.executable, *words], env=env, cwd=folder, check=False, stdout=subprocess.PIPE, text=True
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(words)} exited with {done.returncode}")
            return done.stdout

        found = Path(run("-c", "import clustersweep; print(clustersweep.__file__)").strip())
        if found.parents[1] != package:
            raise SystemExit(f"{found} is trained with instead of {package}")
        try:
            for study in STUDIES:
                run("-m", "clustersweep", "launch", str(ROOT / f"tests/golden/{study}.yaml"), "--in-process")
            read: dict[str, list[str]] = json.loads(run("-c", READ, *(f"golden-{study}" for study in STUDIES)))
        finally:
            run("-m", "clustersweep", "stop", "--force")
    return read


def main() -> None:
    """Compare, and exit with 1 where a bit differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--with", dest="commit", default="54339aa", help="the other commit [default: 54339aa]")
    commit = parser.parse_args().commit
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", commit, "clustersweep"], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
        before, now = losses(Path(folder).resolve()), losses(ROOT)
    different = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
    for name in sorted(different):
        sys.stdout.write(f"differs: {name}\n")
    sys.stdout.write(f"{len(before)} replicates at {commit}, {len(now)} here, {len(different)} differ in a bit\n")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
