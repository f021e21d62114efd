"""What is done about a failure: pure decisions, from an event and what is known. The loop carries them out."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from clustersweep.study.events import DIVERGED, OUT_OF_MEMORY, Failed
from clustersweep.study.results import FailedReplicate
from clustersweep.workers.protocol import Lost

# Three different combinations that fail alike mean that the fault is not the combinations'.
MAX_SAME_SIGNATURE = 3
# A replicate whose worker died so often without a checkpoint in between is what kills workers.
MAX_LOSSES = 3
# What a replicate fails of that its workers do not survive.
WORKER_LOST = "WorkerLost"


@dataclass(frozen=True)
class Situation:
    """What is known of a replicate when something goes wrong with it.

    Attributes:
        combination: The number of its trial.
        taken_up: Its worker has told that it took the replicate up.
        losses: How often its workers died since its last checkpoint, this time included.
        tried_alone: It has run out of memory before, and was put aside until nothing else trained.
        on_share: What trains alone has a share of a GPU only.
        combination_trained: A seed of its combination has ended an epoch.
        failed_alike: The trials that have failed until now, by the signature of the failure.
    """

    combination: int
    taken_up: bool = True
    losses: int = 0
    tried_alone: bool = False
    on_share: bool = False
    combination_trained: bool = False
    failed_alike: Mapping[str, Collection[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Again:
    """The replicate goes on from its checkpoint, on any worker."""


@dataclass(frozen=True)
class Alone:
    """The replicate goes on from its checkpoint when nothing else trains."""


@dataclass(frozen=True)
class Fail:
    """The replicate has failed.

    Attributes:
        failed: Of what.
        spares_others: The other seeds of its combination are not tried, as they would only meet the same.
        abort: Why the whole sweep gives up; empty where it goes on.
    """

    failed: Failed
    spares_others: bool = False
    abort: str = ""


Decision = Again | Alone | Fail


def decide(event: Failed | Lost, known: Situation) -> Decision:
    """Return what becomes of a replicate that failed, or whose worker died, and of others because of it."""
    match event:
        case Failed() if event.signature != OUT_OF_MEMORY:
            return _fail(event, known)
        case Failed() if known.tried_alone:
            return _fail(without_memory(event.message, event.trace, on_share=known.on_share), known)
        case Failed():
            return Alone()
        case Lost() if not known.taken_up:  # dead before: Ray kills idle workers, too, when memory is short
            return Again()
        case Lost() if event.out_of_memory:
            return _fail(without_memory(event.reason), known) if known.tried_alone else Alone()
        case Lost() if known.losses < MAX_LOSSES:
            return Again()
    return _fail(Failed(WORKER_LOST, f"its worker died {known.losses} times: {event.reason}"), known)


def _fail(failed: Failed, known: Situation) -> Fail:
    others_may_do = failed.signature in (DIVERGED, WORKER_LOST)
    alike = len({known.combination, *known.failed_alike.get(failed.signature, ())})
    abort = ""
    if alike >= MAX_SAME_SIGNATURE and failed.signature != DIVERGED:
        abort = f"{alike} combinations failed alike ({failed.signature}: {failed.message}), so the rest would too"
    return Fail(failed, spares_others=not others_may_do and not known.combination_trained, abort=abort)


def spared(first: FailedReplicate, failed: Failed, seed: int) -> FailedReplicate:
    """Return the result of a seed that is not trained, as the first one of its combination failed at once."""
    error = f"not trained, as seed {first.seed} failed before its first epoch: {failed.message}"
    return dataclasses.replace(first, seed=seed, seconds=0.0, error=error)


def without_memory(reason: str, trace: str = "", *, on_share: bool = False) -> Failed:
    """Return the failure of a replicate that ran out of memory alone, too; `on_share`: of a share of a GPU."""
    remedy = "Give it a whole GPU (resources.gpus_per_worker: 1), train" if on_share else "Train"
    remedy += " it where there is more memory (--address), or in another study with a smaller training.batch_size"
    return Failed(OUT_OF_MEMORY, f"out of memory, also with nothing else training: {reason}. {remedy}", trace)
