"""Hosts on one machine: network namespaces on a bridge, each with processes, a name, /tmp and shared memory of its own.

What crosses a network here crosses one really, and a host whose plug is pulled is gone really. Needs root.
"""

import contextlib
import dataclasses
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

NETWORK = "10.213.7."


def require_root() -> None:
    """Only root makes hosts: elsewhere a skip that says so, in CI a failure."""
    missing = [program for program in ("ip", "nsenter", "unshare") if shutil.which(program) is None]
    reason = "not root" if os.geteuid() else f"{', '.join(missing)} missing (Debian's iproute2, util-linux)"
    if os.geteuid() or missing:
        message = f"hosts are network namespaces, which cannot be made here: {reason}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


@dataclasses.dataclass
class Host:
    """A host that runs.

    Attributes:
        name: What it is called, and found as by the others.
        address: Its only one.
        namespace: The name of its network namespace.
        switch: That of the namespace where its cable ends.
        keeper: The process outside that all others of the host end with.
        init: The number of the first process inside.
        folder: What only it has: mounted as its /run/host.
    """

    name: str
    address: str
    namespace: str
    switch: str
    keeper: "subprocess.Popen[bytes]"
    init: str
    folder: Path
    started: list["subprocess.Popen[str]"] = dataclasses.field(default_factory=list)

    def start(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None, log: str = "log"
    ) -> "subprocess.Popen[str]":
        """Start a command there; what it says goes to a file of the host's folder."""
        with (self.folder / log).open("a") as file:
            process = subprocess.Popen(
                self._inside(command), env=self._environment(environment), stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def run(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command there to its end."""
        return subprocess.run(
            self._inside(command), env=self._environment(environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=timeout_s,
        )  # fmt: skip

    def said(self, log: str = "log") -> str:
        """Return what its commands have said."""
        return (self.folder / log).read_text()

    def unplug(self) -> None:
        """Take its cable out; its processes live on."""
        _ip("-n", self.switch, "link", "set", self.name, "down")

    def plug_in(self) -> None:
        """Put its cable back."""
        _ip("-n", self.switch, "link", "set", self.name, "up")

    def power_off(self) -> None:
        """End all of its processes at once, as a power cut would; nothing of it is left but its files."""
        self.keeper.kill()
        self.keeper.wait()
        for process in self.started:
            process.wait()
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)

    def _inside(self, command: Sequence[str | Path]) -> list[str]:
        return ["nsenter", "--target", self.init, "--all", "--", *map(str, command)]

    def _environment(self, given: Mapping[str, str] | None) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": "/tmp", "LC_ALL": "C.UTF-8", **(given or {})}


class Network:
    """A bridge, in a namespace that no packet filter of this machine is in, and hosts with cables to it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.hosts = folder, dict[str, Host]()
        self.switch = f"sweep-{secrets.token_hex(2)}"
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "bridge", "up")

    def add(
        self, name: str, names: Sequence[str], files: Mapping[str, Path] | None = None, kept: Sequence[Path] = ()
    ) -> Host:
        """Add a host that knows the others of the network by `names`, in the order of their addresses.

        Args:
            name: One of `names`.
            names: All that the network may have.
            files: What stands there in the place of files and folders of this machine, by path.
            kept: Folders of this machine that are there even below /tmp, of which each host has its own.
        """
        number = names.index(name) + 2
        namespace, address = f"{self.switch}-{number}", f"{NETWORK}{number}"
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
        hosts = "".join(f"{NETWORK}{i}\t{other}\n" for i, other in enumerate(names, 2))
        (folder / "hosts").write_text(f"127.0.0.1\tlocalhost\n{hosts}")
        (folder / "up").unlink(missing_ok=True)
        _ip("netns", "add", namespace)
        _ip("-n", self.switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", self.switch, "link", "set", name, "master", "bridge", "up")
        for words in (["addr", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                      ["link", "set", "lo", "up"]):  # fmt: skip
            _ip("-n", namespace, *words)
        steps = ["mount -t tmpfs tmpfs /run", "mkdir /run/host /run/secrets", f"mount --bind {folder} /run/host"]
        inside = {"/etc/hosts": folder / "hosts", **(files or {})}
        steps += [f"mount --bind {there} {path}" for path, there in inside.items()]
        steps += [f"mkdir /run/kept{i} && mount --bind {path} /run/kept{i}" for i, path in enumerate(kept)]
        steps += ["mount -t tmpfs tmpfs /tmp", "mount -t tmpfs tmpfs /dev/shm", f"hostname {name}"]
        steps += [f"mkdir -p {path} && mount --bind /run/kept{i} {path}" for i, path in enumerate(kept)]
        steps += ["touch /run/host/up", "trap : TERM", "sleep infinity & wait"]
        keeper = subprocess.Popen(
            ["ip", "netns", "exec", namespace, "unshare", "--mount", "--uts", "--pid", "--ipc", "--fork",
             "--kill-child", "--mount-proc", "bash", "-c", " && ".join(steps)],
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (folder / "up").exists():
            if keeper.poll() is not None or time.monotonic() > deadline:
                keeper.kill()
                keeper.wait()
                raise RuntimeError(f"the host {name} does not start")
            time.sleep(0.02)
        init = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()[0]
        host = self.hosts[name] = Host(name, address, namespace, self.switch, keeper, init, folder)
        return host

    def close(self) -> None:
        """End the hosts and take everything away."""
        for host in self.hosts.values():
            host.power_off()
        for namespace in subprocess.run(
            ["ip", "netns"], capture_output=True, text=True, check=True
        ).stdout.splitlines():
            if namespace.split()[0].startswith(self.switch):
                _ip("netns", "del", namespace.split()[0])


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Make a network; everything of it is gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="clustersweep-hosts-"))
    folder.chmod(0o711)
    made = Network(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
