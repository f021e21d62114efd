"""What verbs tell scripts, in the documented form. Without rich, which scripts need not wait for."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clustersweep.study.cost import Speed
from clustersweep.study.plan import Left, Plan
from clustersweep.study.replay import Replayed, replayable
from clustersweep.study.results import SweepResults, Trial, TrialState
from clustersweep.sweep.schedule import estimate_s, least_s, trial_s

if TYPE_CHECKING:
    from clustersweep.storage.store import Overview


def flops_per_s(plan: Plan, speed: Speed) -> float:
    """Return how many operations a worker is expected to do in a second of training, on average over a plan."""
    seconds = sum(seeds * speed.replicate_s(trial) for trial, seeds in plan.work)
    return sum(seeds * trial.cost_flops for trial, seeds in plan.work) / seconds if seconds else 0.0


def left_json(left: Left | None) -> dict[str, int] | None:
    """Return what is left for scripts; None where it is not known."""
    if left is None:
        return None
    return {
        "replicates": left.replicates,
        "combinations": len(left.work),
        "finished": left.finished,
        "new_combinations": left.new,
        "new_seeds": left.new_seeds,
        "stopped": left.stopped,
    }


def plan_json(plan: Plan, workers: int, speed: Speed, left: Left | None = None) -> dict[str, Any]:
    """Return the plan for scripts, in the documented form; `left` where the study is stored and was compared."""
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
                **t.facts,
                **(_cost_json(plan, t, speed) if plan.study.task.costs_known else {}),
            }
            for t in plan.trials
        ],
        "same": [{"params": dict(params), "as": dict(of), "why": why} for params, of, why in plan.same],
        "estimate": _estimate_json(plan, workers, speed) if plan.study.task.costs_known else None,
        **({"rungs": list(plan.rungs)} if plan.rungs else {}),
        "left": None if left is None else {**(left_json(left) or {}), **_left_cost(plan, left, workers, speed)},
        **_code_json(plan),
    }


def _cost_json(plan: Plan, trial: Trial, speed: Speed) -> dict[str, float]:
    seconds = round(trial_s(trial, len(plan.study.seeds), speed), 3)
    return {"flops_per_replicate": trial.cost_flops, "estimated_s": seconds}


def _left_cost(plan: Plan, left: Left, workers: int, speed: Speed) -> dict[str, float]:
    return {"seconds": round(estimate_s(left.work, workers, speed), 3)} if plan.study.task.costs_known else {}


def _estimate_json(plan: Plan, workers: int, speed: Speed) -> dict[str, Any]:
    return {
        "workers": workers,
        "seconds": round(estimate_s(plan.work, workers, speed), 3),
        **({"least_seconds": round(least_s(plan, workers, speed), 3)} if plan.rungs else {}),
        "flops_per_s": flops_per_s(plan, speed),
        "trial_s": statistics.fmean(speed.compile_s(t) for t in plan.trials) if plan.trials else 0.0,
        "measured": speed.measured,
        "within_factor": round(speed.factor(plan.work), 2),
        "device": str(speed.device) if speed.device else None,
        "measured_replicates": speed.count,
        "measured_sizes": len(speed.sizes),
        "largest_over_measured": round(speed.beyond(plan.work), 2),
    }


def _code_json(plan: Plan) -> dict[str, Any]:
    """Return which code of one's own is run; nothing where none is."""
    code = plan.study.task.code
    return {} if code is None else {"code": {"runs": code.words, "digest": code.digest}}


def status_json(results: SweepResults, launch: str | None = None, left: Left | None = None) -> dict[str, Any]:
    """Return the status for scripts, in the documented form; `launch` and `left` as in `print_status`."""
    ranked = results.ranked()
    best = None
    if ranked:
        first = ranked[0]
        seeds = {str(replicate.seed): replicate.value for replicate in first.complete_replicates}
        best = {"number": first.number, "params": dict(first.params), "value": first.value, "seeds": seeds}
    given = {"study": results.study, "digest": results.digest, **states_counted(results, lives=launch is not None)}
    return {**given, "best": best, "launch": launch, "left": left_json(left)}


def studies_json(overviews: Sequence["Overview"], launches: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return how far every study is for scripts, in the documented form; `launches` names those that live, by study."""
    found = []
    for one in overviews:
        told: dict[str, Any] = {"study": one.name, "note": one.note}
        if one.results is not None:
            told = status_json(one.results, launches.get(one.name))
            told.pop("left")
        found.append(told | {"changed": one.changed.isoformat(timespec="seconds") if one.changed else None})
    return found


def states_counted(results: SweepResults, *, lives: bool) -> dict[str, int]:
    """Count trials by state: one that is stored as running is interrupted where no launch lives."""
    order = (
        TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING, TrialState.FAILED, TrialState.INFEASIBLE,
        TrialState.STOPPED,
    )  # fmt: skip
    counts = {state.value: results.count(state) for state in order}
    begun = 0 if lives else counts["running"]
    return counts | {"running": counts["running"] - begun, "interrupted": begun}


def replay_json(results: SweepResults, replayed: Sequence[Replayed]) -> dict[str, Any]:
    """Return what rules for stopping would have cost and risked for scripts, in the documented form."""
    return {
        "study": results.study,
        "trials": len(replayable(results)),
        "seeds": list(results.seeds),
        "rules": [
            {
                "rungs": list(one.rule.rungs),
                "keep": one.rule.keep,
                "spare_ties": one.rule.spare_ties,
                "epochs": one.epochs,
                "seconds": _finite(one.seconds),
                "winner": one.winner.number,
                "rank": one.rank,
                "regret": one.regret,
                "fresh_regret": _finite(one.fresh_regret),
                "decided": [
                    {
                        "epoch": rung.epoch,
                        "noise": _finite(rung.noise),
                        "margin": _finite(rung.margin),
                        "trials": [
                            {
                                "trial": p.trial,
                                "rank": p.rank,
                                "value": _finite(p.value),
                                "kept": p.kept,
                                "tied": p.tied,
                            }
                            for p in rung.places
                        ],
                    }
                    for rung in one.rungs
                ],
            }
            for one in replayed
        ],
    }


def _finite(value: float) -> float | None:
    """Return a number that JSON has, or None."""
    return value if math.isfinite(value) else None
