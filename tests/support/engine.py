"""Engines that build images and run them: Docker's, started for the tests where none runs, else buildah.

The images that ours begin from are used where the engine has them; where not, this machine's Python and programs of
Debian's stand in for them (`standins/`), and the embedded PostgreSQL for its image. Nothing is pulled. Needs root where
no engine runs.
"""

import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import compose

ROOT = compose.ROOT
BASE = re.search(r"^FROM (\S+) AS base$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)[1]
STANDINS = {"postgres": compose.services()["postgres"]["image"], "nginx": compose.services()["proxy"]["image"]}
# What the base stands for and what stands for nginx, of Debian's packages on this machine, with all that they need.
PACKAGES = (
    "base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "curl", "dash", "findutils", "grep", "gzip",
    "hostname", "libc-bin", "libstdc++6", "login", "nginx-light", "passwd", "procps", "sed", "tar", "util-linux",
)  # fmt: skip
# Imports what a sweep imports, so that it is compiled.
IMPORTS = """
import contextlib, importlib, pkgutil
import clustersweep, ray._private.runtime_env.agent.main, ray.dashboard.agent, tensorflow
for module in pkgutil.walk_packages(clustersweep.__path__, "clustersweep."):
    if not module.name.endswith("__main__"):
        with contextlib.suppress(ImportError):  # of what only developers need
            importlib.import_module(module.name)
"""
UNREAD = re.compile("/usr/share/(doc|info|lintian|locale|man)/")
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
    """Make a Debian that stands for the base image of what this machine has, as a tar file, with this machine's Python.

    Nothing is installed: that would take minutes. It trusts whom this machine trusts, and its pip compiles nothing.
    """
    python = sys.version_info
    own = Path(sys.base_prefix) != Path("/usr")  # a Python that is none of Debian's
    kept = "--recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances"
    wanted = [*PACKAGES, *([] if own else ["python3", f"python{python.major}.{python.minor}-venv"])]
    listed = run(["apt-cache", "depends", *kept.split(), *wanted]).stdout.splitlines()
    packages = sorted({name for name in listed if name[0] not in " <"})
    names = ["/bin/sh", *run(["dpkg-query", "--listfiles", *packages], check=False).stdout.splitlines()]
    with tarfile.open(tar := folder / "root.tar", "w") as made:
        if own:
            names += _add_python(made, Path(sys.base_prefix), f"python{python.major}.{python.minor}")
        # Under their real names: /lib is a link to /usr/lib.
        real = {f"{os.path.realpath(os.path.dirname(name))}/{os.path.basename(name)}": None for name in names if name}
        for name in real:
            if os.path.lexists(name) and name != "/." and not UNREAD.match(name):
                made.add(name, recursive=False)
        for name in ("passwd", "group"):
            made.add(f"/usr/share/base-passwd/{name}.master", f"/etc/{name}")
        made.add("/etc/ssl/certs/ca-certificates.crt")
        _add_text(made, "/etc/pip.conf", "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\ncompile = false\n")
        _add_text(made, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    return tar


def _add_python(made: tarfile.TarFile, prefix: Path, name: str) -> list[str]:
    """Add a Python where python's image has it; gives the libraries of this machine that it needs."""
    library = prefix / "lib" / name
    left_out = re.compile(f"usr/local/lib/{name}/(site-packages|test|config-.*)$")

    def add(path: Path, at: str) -> None:
        made.add(path.resolve(), at, filter=lambda info: None if left_out.match(info.name) else info)

    add(prefix / "bin" / name, f"/usr/local/bin/{name}")
    add(library, f"/usr/local/lib/{name}")
    link = tarfile.TarInfo("usr/local/bin/python3")
    link.type, link.linkname = tarfile.SYMTYPE, name
    made.addfile(link)
    binaries = [prefix / "bin" / name, *library.glob("lib-dynload/*.so")]
    needed = set(re.findall(r"=> (/\S+)", run(["ldd", *binaries]).stdout))
    for path in sorted(one for one in needed if Path(one).is_relative_to(prefix)):
        add(Path(path), f"/usr/lib/{Path(path).name}")
        needed.remove(path)
    return [*needed, *map(os.path.realpath, needed)]


def _add_text(made: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.size = len(text)
    made.addfile(info, io.BytesIO(text.encode()))


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

    def compile_imports(self, image: str) -> None:
        """Keep what Python compiles of an image's modules at their import: a fifth of what pip would compile."""
        self.docker("run", "--user=root", "--name=compiling", image, "python3", "-c", IMPORTS, timeout_s=300)
        kept = self.docker("image", "inspect", "--format=USER {{.Config.User}}\nCMD {{json .Config.Cmd}}", image).stdout
        self.docker("commit", *(f"--change={line}" for line in kept.splitlines()), "compiling", image, timeout_s=300)
        self.docker("rm", "compiling")

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
    stands_in = not engine.has(BASE)
    if stands_in:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            engine.load(make_base(Path(folder)), BASE)
    engine.build(ROOT, ROOT / "docker" / "Dockerfile", "cpu", OURS)
    if stands_in and isinstance(engine, Docker):
        engine.compile_imports(OURS)
    for target, image in STANDINS.items() if isinstance(engine, Docker) else ():
        if not engine.has(image):
            standins = ROOT / "tests" / "standins"
            engine.build(standins, standins / "Dockerfile", target, image)


def compose_program(environment: Mapping[str, str]) -> list[str]:
    """Return Compose: the engine's plugin, or the program of its own."""
    plugin = run(["docker", "compose", "version"], check=False, env=environment).returncode == 0
    return ["docker", "compose"] if plugin else ["docker-compose"]
