"""A node of a launch's own on somebody's Ray cluster: a driver has to be on one, and may sit on a machine that is none.

It offers nothing to anybody, and ends with the launch, however that ends.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

import ray
from ray._private.services import find_node_ids

from clustersweep.errors import WorkersError

# What such nodes' names begin with: another launch's must not be taken for the machine's.
_NAME = "clustersweep-launch-"
# How long one may take to join.
_PATIENCE_S = 60.0
# It dies when this process does, and Ray's processes with it, even if this one has no time to end it.
_PROGRAM = (
    "from ray._private import utils; utils.detect_fate_sharing_support() and utils.set_kill_on_parent_death_linux(); "
    "from ray.scripts.scripts import main; main()"
)


def folder_of_node_here(address: str) -> str | None:
    """Return the folder by which Ray finds a node that this machine is of a cluster; None where it is none.

    Raises:
        RayError: The cluster does not let us in.
    """
    nodes, mine = _nodes(address), set(find_node_ids())
    return next((n.temp_dir for n in nodes if n.node_id.hex() in mine and not n.node_name.startswith(_NAME)), None)


class OwnNode:
    """A node on this machine that has joined a cluster; Ray finds it by its folder.

    Args:
        address: `host:port` of the cluster's head.
        store_bytes: Memory for objects: what the driver gives to workers passes through it.

    Raises:
        WorkersError: It does not join; the message says what Ray said.
    """

    def __init__(self, address: str, store_bytes: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="ray-")  # a short path: sockets lie in it
        name = _NAME + os.path.basename(self.folder)
        command = [
            sys.executable, "-c", _PROGRAM, "start", f"--address={address}", "--block", f"--node-name={name}",
            f"--temp-dir={self.folder}", f"--node-ip-address={_address_towards(address)}", "--num-cpus=0",
            "--num-gpus=0", f"--object-store-memory={store_bytes}", "--disable-usage-stats",
            "--include-log-monitor=false", "--log-style=record", "--log-color=false",
        ]  # fmt: skip
        with tempfile.TemporaryFile() as said:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env={**os.environ, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"},  # nobody works there
                start_new_session=True,  # Ctrl-C is the driver's: workers' last checkpoints come through this node
            )  # fmt: skip
            started = time.monotonic()
            try:
                while not self._has_joined(address):
                    if self._process.poll() is not None or time.monotonic() - started > _PATIENCE_S:
                        said.seek(0)
                        raise _cannot_join(address, said.read().decode(errors="replace"))
                    time.sleep(0.1)
            except BaseException:
                self.close()
                raise

    def _has_joined(self, address: str) -> bool:
        if self._process.poll() is not None or not find_node_ids():
            return False
        return any(node.temp_dir == self.folder for node in _nodes(address))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _cannot_join(address: str, said: str) -> WorkersError:
    lines = "".join(f"\n  {line}" for line in said.strip().splitlines()[-8:])
    return WorkersError(
        f"this machine cannot join the Ray cluster at {address}, as a launch has to. Install the cluster's versions "
        f"here, see that its machines can reach this one, and that /tmp and /dev/shm have room. Ray said:{lines}"
    )


def _nodes(address: str) -> list[Any]:
    return list(ray._raylet.GcsClient(address=address).get_all_node_info(timeout=10).values())


def _address_towards(address: str) -> str:
    """Return this machine's address as the cluster's head sees it: it may have several."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as towards:
        towards.connect((host.strip("[]"), int(port)))  # sends nothing
        return str(towards.getsockname()[0])
