"""Engines that build images and run them: Docker's, started for the tests where none runs, else buildah.

The images that ours begin from are used where the engine has them; where not, Debian's programs stand in for them
(`standins/`), on a base made by debootstrap. Nothing is pulled. Needs root where no engine runs.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import compose

ROOT = compose.ROOT
BASE = re.search(r"^FROM (\S+) AS base$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)[1]
STANDINS = {"postgres": compose.services()["postgres"]["image"], "nginx": compose.services()["proxy"]["image"]}
# What the base stands for, and what the stand-ins run.
PACKAGES = "python3-venv,python3-pip,ca-certificates,postgresql,nginx-light,curl,procps"
OURS = "clustersweep:cpu"
Done = "subprocess.CompletedProcess[str]"


def run(command: Sequence[str | Path], timeout_s: float = 120.0, check: bool = True, **given: object) -> Done:
    """Run a command to its end; what it said is in the error where it fails."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=timeout_s,
        stdin=subprocess.DEVNULL, **given,
    )  # fmt: skip
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def make_base(folder: Path) -> Path:
    """Make a Debian that stands for the base image, as a tar file; it trusts whom this machine trusts."""
    root, tar = folder / "root", folder / "root.tar"
    run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root], 900)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    run(["tar", "-C", root, "-cf", tar, "."], 300)
    shutil.rmtree(root)
    return tar


class Docker:
    """A Docker engine."""

    def __init__(self, folder: Path) -> None:
        """Use the engine that answers, or start one below a folder."""
        self.environment = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        self._daemon: subprocess.Popen[bytes] | None = None
        if run(["docker", "info"], check=False, env=self.environment).returncode:
            self._start(folder)

    def _start(self, folder: Path) -> None:
        self._folder = folder
        self._forwards = "-P FORWARD ACCEPT" in run(["iptables", "-S", "FORWARD"]).stdout
        socket = f"unix://{folder}/socket"
        self.environment["DOCKER_HOST"] = socket
        words = ["--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
        with (folder / "log").open("w") as log:
            self._daemon = subprocess.Popen(["dockerd", "--host", socket, *words], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while run(["docker", "info"], check=False, env=self.environment).returncode:
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"dockerd does not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.5)

    def docker(self, *words: str | Path, timeout_s: float = 120.0, check: bool = True) -> Done:
        """Run Docker's command."""
        return run(["docker", *words], timeout_s, check, env=self.environment)

    def has(self, image: str) -> bool:
        """Say whether an image is there."""
        return self.docker("image", "inspect", image, check=False).returncode == 0

    def load(self, tar: Path, image: str) -> None:
        """Make an image of a tar file."""
        self.docker("import", tar, image, timeout_s=300)

    def build(self, context: Path, file: Path, target: str, image: str) -> None:
        """Build an image."""
        words = ["--network=host", f"--file={file}", f"--target={target}", f"--tag={image}"]
        self.docker("build", *words, context, timeout_s=1200)

    def in_image(self, image: str, command: Sequence[str]) -> Done:
        """Run a command in an image, as its user."""
        return self.docker("run", "--rm", image, *command, check=False)

    def close(self) -> None:
        """End the engine where it was started here, and let packets pass again as they did before."""
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait(60)
            if self._forwards:
                run(["iptables", "-P", "FORWARD", "ACCEPT"])
            run(["ip", "link", "del", "docker0"], check=False)
            for line in reversed(Path("/proc/mounts").read_text().splitlines()):
                if line.split()[1].startswith(f"{self._folder}/"):
                    run(["umount", line.split()[1]])


class Buildah:
    """buildah, which builds and runs images without an engine."""

    def has(self, image: str) -> bool:
        """Say whether an image is there."""
        return run(["buildah", "inspect", "--type=image", image], check=False).returncode == 0

    def load(self, tar: Path, image: str) -> None:
        """Make an image of a tar file."""
        made = run(["buildah", "from", "scratch"]).stdout.strip()
        run(["buildah", "add", made, tar, "/"], 600)
        run(["buildah", "commit", "--rm", made, f"docker.io/library/{image}"], 600)

    def build(self, context: Path, file: Path, target: str, image: str) -> None:
        """Build an image."""
        words = ["--isolation=chroot", "--pull-never", "--network=host", f"--file={file}", f"--target={target}"]
        run(["buildah", "build", *words, f"--tag={image}", context], 1800)

    def in_image(self, image: str, command: Sequence[str]) -> Done:
        """Run a command in an image, as its user."""
        made = run(["buildah", "from", "--pull-never", image]).stdout.strip()
        try:
            return run(["buildah", "run", "--isolation=chroot", made, "--", *command], check=False)
        finally:
            run(["buildah", "rm", made])

    def close(self) -> None:
        """Nothing runs."""


def make_images(engine: Docker | Buildah) -> None:
    """Build our image, and what is missing of those beside it."""
    needed = {BASE, *(STANDINS.values() if isinstance(engine, Docker) else ())}
    if missing := [image for image in needed if not engine.has(image)]:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            if BASE in missing:
                engine.load(make_base(Path(folder)), BASE)
        for target, image in STANDINS.items():
            if image in missing:
                standins = ROOT / "tests" / "standins"
                engine.build(standins, standins / "Dockerfile", target, image)
    engine.build(ROOT, ROOT / "docker" / "Dockerfile", "cpu", OURS)


def compose_program(environment: Mapping[str, str]) -> list[str]:
    """Return Compose: the engine's plugin, or the program of its own."""
    plugin = run(["docker", "compose", "version"], check=False, env=environment).returncode == 0
    return ["docker", "compose"] if plugin else ["docker-compose"]
