"""From a study to a plan: every combination, feasible or not, in the order of work, with what it costs.

What `plan` prints is the very object that `launch` executes.
"""

import functools
import itertools
import statistics
from dataclasses import dataclass
from typing import Any

from clustersweep.errors import Problem, StudyError
from clustersweep.study.cost import Speed, estimate_s, trial_s
from clustersweep.study.results import EpochSizes, Params, Replicate, Trial
from clustersweep.study.study import Study, definition, definition_digest, replicate_key, specs_for
from clustersweep.survey.dataset import Header
from clustersweep.training.effective import same
from clustersweep.training.network import Infeasible, flops_per_image, layers, training_flops_per_image


@dataclass(frozen=True)
class Plan:
    """What a launch will do.

    Attributes:
        study: What was asked for.
        header: Size and identity of the data.
        definition: The study's canonical definition; None while the data's digest is unknown.
        digest: Digest of the definition; None likewise.
        trials: Feasible combinations, longest first.
        infeasible: The others, each with the reason, in the order of the grid.
    """

    study: Study
    header: Header
    definition: dict[str, Any] | None
    digest: str | None
    trials: tuple[Trial, ...]
    infeasible: tuple[tuple[Params, Infeasible], ...]

    @functools.cached_property
    def same(self) -> tuple[tuple[Params, Params, str], ...]:
        """Feasible combinations that are the same network as another, with that one, and why; in the grid's order."""
        axes = self.study.axes
        places = {axis: {value: place for place, value in enumerate(values)} for axis, values in axes.items()}
        grid = sorted(self.trials, key=lambda t: [places[axis][t.params[axis]] for axis in axes])
        found = same((trial.network, trial.training) for trial in grid)
        return tuple((grid[one.index].params, grid[one.of].params, one.why) for one in found)

    @property
    def combinations(self) -> int:
        """Number of points of the search space."""
        return len(self.trials) + len(self.infeasible)

    @property
    def replicates(self) -> int:
        """Number of trainings: feasible combinations times seeds."""
        return len(self.trials) * len(self.study.seeds)

    @property
    def work(self) -> tuple[tuple[Trial, int], ...]:
        """Every trial with the number of its seeds, in the order of work."""
        return tuple((trial, len(self.study.seeds)) for trial in self.trials)

    def replicate(self, trial: Trial, seed: int) -> Replicate:
        """Give one training of a trial, with the key that its files carry."""
        if self.header.digest is None:
            raise ValueError("a plan whose data were not read has no replicates")
        return Replicate(trial, seed, replicate_key(self.study, self.header.digest, trial.params, seed))


@dataclass(frozen=True)
class Left:
    """What of a plan a launch would train, beside what is stored.

    Attributes:
        work: Every trial with replicates to train and their number, in the order of work.
        finished: Replicates that are stored and complete.
        new: Combinations, impossible ones included, that are not stored yet.
        new_seeds: Seeds that the stored study has not.
    """

    work: tuple[tuple[Trial, int], ...]
    finished: int
    new: int
    new_seeds: int

    @property
    def replicates(self) -> int:
        """Trainings that are left."""
        return sum(seeds for _, seeds in self.work)


def make_plan(study: Study, header: Header) -> Plan:
    """Lay out the grid. Pure arithmetic: reads nothing and imports nothing heavy."""
    axes = study.axes
    trials: list[Trial] = []
    infeasible: list[tuple[Params, Infeasible]] = []
    rest = header.clusters * (1 - study.split.test)
    train, validation = rest * (1 - study.split.validation), rest * study.split.validation
    sizes = EpochSizes(header.image_shape, train, validation)
    for values in itertools.product(*axes.values()):
        params = dict(zip(axes, values, strict=True))
        network, training = specs_for(study, params)
        limit = study.limits.max_parameters
        found = layers(network, header.image_shape, outputs=training.outputs, max_parameters=limit)
        if isinstance(found, Infeasible):
            infeasible.append((params, found))
            continue
        epoch = training_flops_per_image(found) * train + flops_per_image(found) * validation
        cost = epoch * training.epochs
        trials.append(Trial(params, network, training, found, cost, sizes))
    trials.sort(key=lambda trial: -trial.cost_flops)  # stable: equal costs stay in the order of the grid
    stored = definition(study, header.digest) if header.digest is not None else None
    digest = definition_digest(stored) if stored is not None else None
    return Plan(study, header, stored, digest, tuple(trials), tuple(infeasible))


def require_feasible(plan: Plan, where: str) -> None:
    """Refuse a plan in which nothing can be trained.

    Raises:
        StudyError: With the commonest reason.
    """
    if plan.trials:
        return
    _, first = plan.infeasible[0]
    all_of_them = "the only combination is" if plan.combinations == 1 else f"all {plan.combinations} combinations are"
    raise StudyError(
        [
            Problem(
                where,
                "search_space",
                "",
                f"{all_of_them} impossible for images of "
                f"{' x '.join(map(str, plan.header.image_shape))} (first: {first.reason})",
                "Use smaller kernels, fewer conv_blocks or convs_per_block, padding: same, or a smaller data.rebin",
            )
        ]
    )


def flops_per_s(plan: Plan, speed: Speed) -> float:
    """Return how many operations a worker is expected to do in a second of training, on average over a plan."""
    seconds = sum(seeds * speed.replicate_s(trial) for trial, seeds in plan.work)
    return sum(seeds * trial.cost_flops for trial, seeds in plan.work) / seconds if seconds else 0.0


def left_json(left: Left | None) -> dict[str, int] | None:
    """Give what is left for scripts; None where it is not known."""
    if left is None:
        return None
    return {
        "replicates": left.replicates,
        "combinations": len(left.work),
        "finished": left.finished,
        "new_combinations": left.new,
        "new_seeds": left.new_seeds,
    }


def plan_json(plan: Plan, workers: int, speed: Speed, left: Left | None = None) -> dict[str, Any]:
    """Give the plan for scripts, in the documented form; `left` where the study is stored and was compared."""
    return {
        "study": plan.study.name,
        "digest": plan.digest,
        "combinations": plan.combinations,
        "feasible": len(plan.trials),
        "replicates": plan.replicates,
        "infeasible": [
            {"params": dict(params), "rule": why.rule, "layer": why.layer, "trace": why.trace}
            for params, why in plan.infeasible
        ],
        "trials": [
            {
                "params": dict(t.params),
                "parameters": t.parameters,
                "flops_per_image": t.flops_per_image,
                "flops_per_replicate": t.cost_flops,
                "estimated_s": round(trial_s(t, len(plan.study.seeds), speed), 3),
            }
            for t in plan.trials
        ],
        "same": [{"params": dict(params), "as": dict(of), "why": why} for params, of, why in plan.same],
        "estimate": {
            "workers": workers,
            "seconds": round(estimate_s(plan.work, workers, speed), 3),
            "flops_per_s": flops_per_s(plan, speed),
            "trial_s": statistics.fmean(speed.compile_s(t) for t in plan.trials) if plan.trials else 0.0,
            "measured": speed.measured,
            "within_factor": round(speed.factor(plan.work), 2),
            "device": str(speed.device) if speed.device else None,
            "measured_replicates": speed.count,
            "measured_sizes": len(speed.sizes),
            "largest_over_measured": round(speed.beyond(plan.work), 2),
        },
        "left": None
        if left is None
        else {**(left_json(left) or {}), "seconds": round(estimate_s(left.work, workers, speed), 3)},
    }
