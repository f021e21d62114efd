"""Which workers there are, on which nodes, and what becomes of a place whose worker dies. Knows no Ray.

`ray_pool` tells it what happens and carries out what it decides.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

MAX_FAILED_STARTS = 3
"""So many workers in a row that die without having told anything mean that no worker can start."""


@dataclass
class Silence:
    """How long the head of a cluster has not answered.

    It counts from the last answer, as what asks other nodes may have blocked since; and twice in a row, so that one
    lost packet after such a time ends nothing.

    Attributes:
        patience_s: It is gone when it has not answered so long.
        answered_at: When it answered last, on a monotonic clock, in seconds.
        asked: How often it was asked in vain since.
    """

    patience_s: float
    answered_at: float
    asked: int = 0

    def answers(self, now: float) -> None:
        """Take up that it answers."""
        self.answered_at, self.asked = now, 0

    def means_gone(self, now: float) -> bool:
        """Take up that it does not answer, and say whether it is to be given up."""
        self.asked += 1
        return self.asked > 1 and now - self.answered_at > self.patience_s


@dataclass(frozen=True)
class Death:
    """How a worker died.

    Attributes:
        reason: In Ray's words.
        out_of_memory: Ray ended it because its machine was short of memory.
        others_train: Beside it.
        node_is_there: Its node is still part of the cluster.
    """

    reason: str
    out_of_memory: bool = False
    others_train: bool = False
    node_is_there: bool = True


@dataclass(frozen=True)
class Replace:
    """Others are started wherever there is room."""


@dataclass(frozen=True)
class Wait:
    """None is started at once: there may only be room when somebody has ended.

    Attributes:
        warning: To be told; empty where it was before.
    """

    warning: str = "a machine has no memory for one more worker beside those that train: fewer train there"


@dataclass(frozen=True)
class GiveUp:
    """No worker can start, so the sweep ends."""

    why: str


Decision = Replace | Wait | GiveUp


def decide(death: Death, *, answered: bool, failed_starts: int) -> tuple[Decision, int]:
    """Return what is done about a worker that died, and how many in a row have failed to start then.

    Args:
        death: How it died.
        answered: It had told something before.
        failed_starts: How many workers in a row had failed to start until then.
    """
    # Beside others that train there may be no memory for one more: Ray kills the youngest first.
    if death.out_of_memory and death.others_train and not answered:
        return Wait(), failed_starts
    if not answered and death.node_is_there:
        failed_starts += 1
    if failed_starts < MAX_FAILED_STARTS:
        return Replace(), failed_starts
    remedy = ". Free some memory there" if death.out_of_memory else ""
    why = f"{failed_starts} workers in a row died before they trained anything: {death.reason}{remedy}"
    return GiveUp(why), failed_starts


@dataclass
class Roster:
    """The workers and the room for them.

    Attributes:
        limit: No more workers than this; None: as many as there is room for.
        room: How many workers each node has room for; 0 where none is to be.
        node_of: The node of each worker.
        lost_nodes: Nodes that are gone, which Ray may list for a while yet.
        failed_starts: How many workers in a row died without having told anything.
    """

    limit: int | None = None
    room: dict[str, int] = field(default_factory=dict)
    node_of: dict[str, str] = field(default_factory=dict)
    lost_nodes: set[str] = field(default_factory=set)
    failed_starts: int = 0
    _answered: set[str] = field(default_factory=set)
    _told_of_memory: bool = False

    def vacancies(self) -> list[str]:
        """Return the node of each worker that there is room for, the emptiest nodes first."""
        taken, found = Counter(self.node_of.values()), list[str]()
        free = {node: count - taken[node] for node, count in self.room.items()}
        while free and (self.limit is None or len(self.node_of) + len(found) < self.limit):
            node = max(free, key=lambda node: free[node])
            if free[node] <= 0:
                break
            free[node] -= 1
            found.append(node)
        return found

    def hire(self, worker: str, node: str) -> None:
        """Note that a worker is started on a node."""
        self.node_of[worker] = node

    def answers(self, worker: str) -> None:
        """Note that a worker has told something: workers can start."""
        self._answered.add(worker)
        self.failed_starts = 0

    def dies(self, worker: str, death: Death) -> Decision:
        """Strike a worker off, and its node too where that is gone; return what is done about it."""
        node = self.node_of.pop(worker)
        if not death.node_is_there:
            self.lost_nodes.add(node)
            self.room.pop(node, None)
        done, self.failed_starts = decide(death, answered=worker in self._answered, failed_starts=self.failed_starts)
        if isinstance(done, Wait):
            done, self._told_of_memory = Wait("") if self._told_of_memory else done, True
        return done

    def abandon_node_of(self, worker: str) -> bool:
        """Strike a worker off, and have no more on its node; say whether there was room for some until now."""
        node = self.node_of.pop(worker)
        before, self.room[node] = self.room.get(node, 0), 0
        return bool(before)

    def see_nodes(self, alive: Collection[str], joined: Mapping[str, int]) -> None:
        """Take over which nodes are there: known ones with the room that they have, others with that of `joined`."""
        self.room = {node: self.room.get(node, joined.get(node, 0)) for node in alive}

    def leave_one(self, room: Mapping[str, int]) -> None:
        """Strike all workers off; from now on there is one at a time, where `room` has some."""
        self.node_of = {}
        self.room, self.limit = dict.fromkeys(self.room, 0) | dict(room), 1
