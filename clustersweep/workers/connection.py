"""The door to Ray's clusters: starts or reaches one, and says what its nodes have and whether they fit."""

import contextlib
import dataclasses
import fcntl
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Ray prints a page about every worker or node that dies, whatever the log level; the sweep says so itself, in a line.
# This leaves out every line that there is. Read when Ray is imported.
os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = "."

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from clustersweep.cpus import available_cpus
from clustersweep.errors import WorkersError, first_line
from clustersweep.postgres.url import VARIABLES
from clustersweep.workers.node import OwnNode, folder_of_node_here

__all__ = [
    "Node", "NodeAffinitySchedulingStrategy", "Software", "ask", "connect", "fitting", "is_gone", "no_room_for",
    "nodes", "other_versions", "ray", "reach", "require_no_problems", "room",
]  # fmt: skip

_log = logging.getLogger(__name__)

# At most so many workers share a GPU when `gpus_per_worker` is `auto`: small networks leave most of one idle.
AUTO_WORKERS_PER_GPU = 4
_QUIET = {"log_to_driver": False, "logging_level": "ERROR"}
# What a node has to have as the driver has it: other versions may give other numbers, or none.
SAME = ("python", "clustersweep", "ray", "tensorflow")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        identity: Ray's.
        address: Where it is.
        resources: What Ray may give away there: CPU, GPU, bytes of memory and of the object store.
    """

    identity: str
    address: str
    resources: Mapping[str, float]

    @property
    def gpus(self) -> int:
        """The number of its GPUs."""
        return int(self.resources.get("GPU", 0.0))

    def with_gpus(self, at_most: int | None) -> "Node":
        """Return it with no more GPUs than this; None: as it is."""
        if at_most is None or self.gpus <= at_most:
            return self
        return dataclasses.replace(self, resources={**self.resources, "GPU": float(at_most)})


def nodes() -> list[Node]:
    """List the nodes that are alive."""
    return [Node(n["NodeID"], n["NodeManagerAddress"], n["Resources"]) for n in ray.nodes() if n["Alive"]]


def _make_token(path: Path) -> None:
    """Make the token that Ray's processes ask of one another, once; only its owner can read it."""
    if path.exists() and path.stat().st_size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # never another than a launch beside this one reads
        if not file.read(1):  # new, or a launch was killed before it wrote
            file.write(secrets.token_hex(32).encode())


@contextlib.contextmanager
def _without_secrets() -> Iterator[None]:
    """Keep the database's secrets from processes that are started meanwhile; nobody may connect to it until then."""
    kept = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep this process's answers to signals while Ray starts, and a closed terminal from Ray's processes.

    Ray would answer SIGTERM itself, in Python with an exit code of its own, in C++ with a stack trace, and leave it
    without any answer when it is shut down. Its processes, which die with this one anyhow, have to outlive a closed
    terminal until workers have given their last checkpoints.
    """
    # Not by Ray's environment variable: its workers would inherit that, and tell less when they crash.
    ray._private.ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True
    handled_by_ray = ray._private.utils.set_sigterm_handler
    ray._private.utils.set_sigterm_handler = lambda handler: None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # which processes inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        ray._private.utils.set_sigterm_handler = handled_by_ray


@contextlib.contextmanager
def _no_idle_processes() -> Iterator[None]:
    """Start Ray on this machine without what one launch has no use for: 6 of the 19 CPU seconds of a small one.

    That is what passes logs on, which are not shown; what would make a cluster grow; what a dashboard asks, of which
    there is none; and Python processes that wait for tasks, while every worker gets one of its own.
    """
    for name in ("RAY_enable_worker_prestart", "RAY_prestart_worker_first_driver"):
        os.environ[name] = "false"
    node, idle = ray._private.node.Node, ("start_monitor", "start_log_monitor", "start_api_server")
    starters = {name: vars(node)[name] for name in idle if name in vars(node)}  # where this version of Ray has them
    for name in starters:
        setattr(node, name, lambda node, **given: None)
    try:
        yield
    finally:
        for name, starter in starters.items():
            setattr(node, name, starter)


@dataclass(frozen=True)
class Connection:
    """A cluster that this process is connected to.

    Attributes:
        head: `host:port` of its head.
        own_node: The node that this machine is of it for this launch alone; None where it is one anyhow.
    """

    head: str
    own_node: OwnNode | None = None

    def close(self) -> None:
        """Leave the cluster; ends it where it was started by `connect`."""
        try:
            ray.shutdown()
        finally:
            if self.own_node is not None:
                self.own_node.close()


def connect(address: str | None, data_bytes: int, token_file: Path, most_cpus: int | None = None) -> Connection:
    """Start Ray on this machine, or reach the cluster at an address, which this machine joins if it is no part of it.

    Args:
        address: The cluster's; None for this machine alone.
        data_bytes: At least as much memory as the data take.
        token_file: Where the token of a cluster on this machine is kept.
        most_cpus: No more CPUs than this of this machine alone; None for all.

    Raises:
        WorkersError: It does not answer, or does not let us in.
        OSError: The token cannot be written.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # else `uv run` makes a new environment for every worker
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    # The default takes 30 % of the memory for objects; the data are all that goes there.
    store_bytes = 256 * 2**20 + data_bytes
    own_node = None
    if address is None:
        # Ray listens on all interfaces, even for this machine alone: nobody gets in without the token.
        _make_token(token_file)
    try:
        with _signals_kept():
            if address is None:
                os.environ["RAY_AUTH_MODE"] = "token"
                os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_file)
                with _without_secrets(), _no_idle_processes():
                    # Ray has read its environment when it was imported; this is how it reads it again itself.
                    ray._raylet.Config.initialize("")
                    cpus = available_cpus()
                    ray.init(
                        address="local", num_cpus=cpus if most_cpus is None else min(cpus, most_cpus),
                        object_store_memory=store_bytes, include_dashboard=False, **_QUIET,
                    )  # fmt: skip
            elif address == "auto":
                ray.init(address=address, **_QUIET)
            else:
                reach(address)
                folder = folder_of_node_here(address)
                if folder is None:
                    with _without_secrets():
                        own_node = OwnNode(address, store_bytes)
                    folder = own_node.folder
                ray.init(address=address, _temp_dir=folder, **_QUIET)
        return Connection(str(ray.get_runtime_context().gcs_address), own_node)
    except BaseException as error:
        if own_node is not None:
            own_node.close()
        known = ConnectionError | RuntimeError | ValueError | OSError | ray.exceptions.RayError
        if not isinstance(error, known) and type(error) is not Exception:  # which Ray raises where it starts too slowly
            raise
        where = address or "this machine"
        if isinstance(error, ray.exceptions.AuthenticationError):
            raise WorkersError(
                f"the Ray cluster at {where} does not let us in: its token is missing here, or another. Set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file with the cluster's token"
            ) from None
        remedy = "Check --address, or leave it out to use this machine"
        if address is None:
            remedy = "Launch again when this machine has less to do"
        raise WorkersError(f"Ray does not answer at {where}: {first_line(error).rstrip('.')}. {remedy}") from None


def reach(address: str, timeout_s: float = 10.0) -> None:
    """Fail within seconds where nothing listens; Ray itself would try for minutes.

    Args:
        address: Of the cluster's head.
        timeout_s: How many seconds.

    Raises:
        OSError: Nothing answers, or it is no address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise OSError("an address is `host:port` of the cluster's head (6379 as a rule), or `auto`")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s):
        pass


def room(
    found: Sequence[Node], cpus: int, gpus: float | str, least: int = 1, limit: int | None = None
) -> tuple[dict[str, int], float]:
    """Return the number of workers that each node has room for, by identity, and the share of a GPU that each takes.

    Args:
        found: The nodes.
        cpus: CPUs of a worker.
        gpus: Share of a GPU for each worker, at most 1. `auto`: as `_spread` has it where there are GPUs, whose nodes
            alone are used then, as another kind of device may change the last bits; else none.
        least: So many have to fit on all nodes together.
        limit: No more workers than this will be hired.

    Raises:
        WorkersError: Fewer than `least` fit on all nodes together.
    """
    # Number of workers by CPUs, and whole GPUs: a worker never stands on two nodes, nor on two GPUs.
    has = {node.identity: (int(node.resources.get("CPU", 0.0) // cpus), node.gpus) for node in found}
    with_gpus = [slots for slots in has.values() if min(slots)]
    share = gpus if isinstance(gpus, float | int) else 1 / _spread(with_gpus, limit) if with_gpus else 0.0
    per_gpu = int(1 / share) if share else 0
    counts = {node: min(slots, on * per_gpu) if share else slots for node, (slots, on) in has.items()}
    if sum(counts.values()) < least:
        has_all = " + ".join(f"{node.resources.get('CPU', 0):g} CPU and {node.gpus:g} GPU" for node in found)
        raise WorkersError(
            f"no room for a worker: one needs {cpus} CPU and {share:g} GPU, the cluster has {has_all}. Lower "
            "resources.cpus_per_worker or resources.gpus_per_worker, or name a larger cluster with --address"
        )
    return counts, float(share)


def _spread(has: Sequence[tuple[int, int]], limit: int | None = None) -> int:
    """Return how many workers share each GPU, such that as many GPUs as can be have one, and then as many train as can.

    Ray fills one GPU before it takes the next: five halves of four GPUs leave one idle, and four whole ones none.

    Args:
        has: Of every node with GPUs, the workers that its CPUs have room for, and its GPUs.
        limit: No more workers than this.
    """

    def comes_to(per_gpu: int) -> tuple[int, int, int]:
        free = [min(slots, gpus * per_gpu) for slots, gpus in has]
        hired = [0] * len(has)
        while any(free) and (limit is None or sum(hired) < limit):  # as they are hired: where most room is
            most = free.index(max(free))
            free[most], hired[most] = free[most] - 1, hired[most] + 1
        return sum(-(-workers // per_gpu) for workers in hired), sum(hired), -per_gpu

    return max(range(1, AUTO_WORKERS_PER_GPU + 1), key=comes_to)


@dataclass(frozen=True)
class Software:
    """What a machine says that it has: versions by name, `none` where it has none."""

    versions: Mapping[str, str]

    def differs_from(self, other: "Software") -> tuple[str, ...]:
        """Name what it has in another version."""
        return tuple(name for name in SAME if self.versions.get(name) != other.versions.get(name))


def _asker() -> Callable[[], dict[str, str]]:
    # A function within one travels as code: a node may not have this package, which is what is to be found out.
    def ask() -> dict[str, str]:
        import importlib.metadata
        import platform

        found = {"python": platform.python_version()}
        for name in ("clustersweep", "ray", "tensorflow"):
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "none"
        return found

    return ask


def software_here() -> Software:
    """Say what this machine has."""
    return Software(_asker()())


@dataclass(frozen=True)
class NoAnswer:
    """What there is instead of a node's answer.

    Attributes:
        why: What Ray says about it.
        alive: The node is there for certain, and is unable to answer. Else it is gone, whatever Ray lists: a head
            notices only after a while that a node died.
    """

    why: str
    alive: bool


def is_gone(error: ray.exceptions.RayError) -> bool:
    """Say whether Ray refuses to work on a node because it knows of none of that identity any more."""
    return isinstance(error, ray.exceptions.TaskUnschedulableError | ray.exceptions.ActorUnschedulableError)


def ask(question: Callable[[], Any], asked: Sequence[Node], timeout_s: float) -> dict[str, Any]:
    """Ask nodes the same, all at the same time; gives their answers by identity, `NoAnswer` of one without any."""
    asking = ray.remote(num_cpus=0, max_retries=0)(question)
    pinned = {node.identity: NodeAffinitySchedulingStrategy(node.identity, soft=False) for node in asked}
    answers = {identity: asking.options(scheduling_strategy=where).remote() for identity, where in pinned.items()}
    if answers:
        ray.wait(list(answers.values()), num_returns=len(answers), timeout=timeout_s)
    unable = ray.exceptions.RayTaskError | ray.exceptions.OutOfMemoryError | ray.exceptions.RuntimeEnvSetupError
    found: dict[str, Any] = {}
    for identity, answer in answers.items():
        try:
            found[identity] = ray.get(answer, timeout=0)
        except ray.exceptions.GetTimeoutError:
            found[identity] = NoAnswer(f"does not answer within {timeout_s:.0f} s", alive=False)
        except ray.exceptions.RayError as error:
            found[identity] = NoAnswer(f"cannot be asked: {first_line(error)}", alive=isinstance(error, unable))
    return found


def software_of(asked: Sequence[Node], answer_s: float) -> dict[str, Software | NoAnswer]:
    """Ask nodes what they have, all at the same time; of one that cannot say, why."""
    answers = ask(_asker(), asked, answer_s)
    return {node: has if isinstance(has, NoAnswer) else Software(has) for node, has in answers.items()}


def other_versions(asked: Sequence[Node], answer_s: float) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by identity, what nodes have in other versions than this machine; and why others are taken for gone."""
    here = software_here()
    problems: dict[str, str] = {}
    gone: dict[str, str] = {}
    for identity, has in software_of(asked, answer_s).items():
        if isinstance(has, NoAnswer):
            (problems if has.alive else gone)[identity] = has.why
        elif different := has.differs_from(here):
            problems[identity] = ", ".join(
                f"{name} {has.versions.get(name, 'none')} instead of {here.versions[name]}" for name in different
            )
    return problems, gone


def fitting(asked: Sequence[Node], answer_s: float) -> list[Node]:
    """Make sure that nodes have what this machine has; returns those of them that are there.

    One that cannot be asked any more, or does not answer within some seconds, is gone: that is told, and the others are
    used.

    Raises:
        WorkersError: One has something else, or is there and cannot say what it has.
    """
    problems, gone = other_versions(asked, answer_s)
    alive = {node.identity for node in nodes()}
    left = [node for node in asked if node.identity in alive and node.identity not in gone]
    require_no_problems({node: why for node, why in problems.items() if node in alive}, left)
    for node in asked:
        if node not in left:
            _log.warning("the node %s is gone and not used: %s", node.address, gone.get(node.identity, "it has died"))
    return left


def no_room_for(data_bytes: int, asked: Sequence[Node]) -> dict[str, str]:
    """Give, by identity, how much too small the object stores of nodes are for the data, where they are."""
    stores = {node.identity: node.resources.get("object_store_memory", 0.0) for node in asked}
    return {
        identity: f"its object store has {store / 2**20:,.0f} MiB for {data_bytes / 2**20:,.0f} MiB of data"
        for identity, store in stores.items()
        if store < data_bytes
    }


def unfit_warnings(joined: Sequence[Node], problems: Mapping[str, str]) -> list[str]:
    """Say which machines that joined a cluster are not used, and why: `problems` by identity."""
    return [
        f"the node {node.address} that joined the cluster is not used: {problems[node.identity]}"
        for node in joined
        if node.identity in problems
    ]


def require_no_problems(problems: Mapping[str, str], asked: Sequence[Node]) -> None:
    """Refuse a cluster of which a node would train other numbers than this machine, or none.

    Raises:
        WorkersError: With a line for each node.
    """
    if not problems:
        return
    width = max(len(node.address) for node in asked)
    lines = [f"  {node.address:<{width}}  {problems.get(node.identity, 'fits')}" for node in asked]
    raise WorkersError(
        "the cluster's nodes do not fit together:\n" + "\n".join(lines) + "\nInstall the same versions everywhere "
        "(requirements.lock), start Ray there with a larger --object-store-memory, or take the node out of the cluster"
    )
