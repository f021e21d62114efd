"""A node of a launch's own: how it joins, what is told where it cannot, and that nothing of it stays. Without Ray."""

import contextlib
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from clustersweep.errors import WorkersError
from clustersweep.workers import node
from clustersweep.workers.node import OwnNode, folder_of_node_here

HEAD = "127.0.0.1:6379"


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Have no node be on this machine, and this test's folders lie in its own."""
    monkeypatch.setattr(node, "find_node_ids", set)
    monkeypatch.setattr(node.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_the_node_said_before_it_ended_is_told_with_the_remedy_and_its_folder_goes(alone, monkeypatch):
    program = "import sys; [print('line', n) for n in range(9)]; sys.exit('Version mismatch')"
    monkeypatch.setattr(node, "_PROGRAM", program)
    with pytest.raises(WorkersError) as refused:
        OwnNode(HEAD, 2**20)
    said = str(refused.value)
    assert said.startswith(f"this machine cannot join the Ray cluster at {HEAD}, as a launch has to. Install the ")
    assert said.endswith("\n  line 7\n  line 8\n  Version mismatch")
    assert "line 1\n" not in said  # the last eight lines
    assert list(alone.iterdir()) == []


def test_a_node_that_has_joined_offers_nothing_is_spared_ctrl_c_and_ends_when_it_is_closed(alone, monkeypatch):
    monkeypatch.setattr(node, "_PROGRAM", "import time; time.sleep(600)")
    monkeypatch.setattr(node, "find_node_ids", lambda: {"01"})

    def joined(address):
        assert address == HEAD
        return [SimpleNamespace(temp_dir=str(folder)) for folder in alone.glob("ray-*")]

    monkeypatch.setattr(node, "_nodes", joined)
    with contextlib.closing(OwnNode(HEAD, 2**20)) as own:
        [child] = [one for one in psutil.Process().children() if f"--temp-dir={own.folder}" in one.cmdline()]
        given = child.cmdline()
        assert {f"--address={HEAD}", "--num-cpus=0", "--num-gpus=0", f"--object-store-memory={2**20}"} <= set(given)
        assert os.getsid(child.pid) != os.getsid(0)
    assert not child.is_running()
    assert not Path(own.folder).exists()


@pytest.mark.parametrize(
    ("here", "folder"),
    [({"0a"}, "/tmp/machine"), ({"0b"}, None), ({"0a", "0b"}, "/tmp/machine"), ({"0c"}, None), (set(), None)],
)
def test_a_node_here_is_the_machines_own_and_never_that_of_another_launch(monkeypatch, here, folder):
    machine = SimpleNamespace(node_id=b"\x0a", node_name="10.0.0.1", temp_dir="/tmp/machine")
    launch = SimpleNamespace(node_id=b"\x0b", node_name=f"{node._NAME}x", temp_dir="/tmp/launch")
    monkeypatch.setattr(node, "find_node_ids", lambda: here)
    monkeypatch.setattr(node, "_nodes", lambda address: [launch, machine])
    assert folder_of_node_here(HEAD) == folder


@pytest.mark.parametrize(("address", "mine"), [("127.0.0.1:6379", "127.0.0.1"), ("[::1]:6379", "::1")])
def test_the_address_that_the_head_is_told_is_of_the_network_that_the_head_is_in(address, mine):
    with socket.socket(socket.AF_INET6 if ":" in mine else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((mine, 0))
        except OSError:
            pytest.skip(f"this machine has no {mine}")
    assert node._address_towards(address) == mine
