"""Tables and summaries for the terminal and for scripts. Given a console; decides nothing."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from clustersweep.display.as_json import states_counted
from clustersweep.study.cost import Speed
from clustersweep.study.keys import Params
from clustersweep.study.plan import Left, Plan
from clustersweep.study.ranking import alike_text, best_learned_nothing, ties_of, trial_learned_nothing
from clustersweep.study.replay import Replayed, longest, replayable
from clustersweep.study.results import SweepResults, Trial, TrialResult, TrialState, loss_of
from clustersweep.study.stopping import Rung, survivors
from clustersweep.study.task import Infeasible
from clustersweep.sweep.schedule import estimate_s, least_s, trial_s
from clustersweep.training.files.configuration import MOST_LISTED, Evidence
from clustersweep.words import counted, duration, listed

if TYPE_CHECKING:
    from clustersweep.masses.export import Exported as MassesExported
    from clustersweep.own.export import Exported
    from clustersweep.storage.store import Overview  # plan does without Optuna

# A terminal is for reading; scripts have --json.
ROWS = 100
FEW = 5


def print_plan(
    plan: Plan, workers: int, speed: Speed, out: Console, *, left: Left | None = None, unknown: str = ""
) -> None:
    """Print counts, the impossible combinations with what kills each, and the others in order with their cost.

    Args:
        plan: The plan.
        workers: Estimate the time for so many.
        speed: How fast each is.
        out: Where to.
        left: What a launch would train; None where the study is not stored, or was not compared.
        unknown: In that case, why.
    """
    seeds = plan.study.seeds
    known = f"study digest {plan.digest}" if plan.digest else "the study's digest is known once the data are read"
    out.print(
        f"[bold]{plan.study.name}[/bold]: {escape(_source(plan))}; {known}",
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        f"{counted(plan.combinations, 'combination')}: {len(plan.trials)} feasible, {len(plan.infeasible)} impossible; "
        f"{counted(len(seeds), 'seed makes', 'seeds make')} {counted(plan.replicates, 'replicate')}",
        highlight=False,
        soft_wrap=True,
    )
    for said in filter(None, (stopping_text(plan), further_text(plan))):
        out.print(escape(said), highlight=False, soft_wrap=True)
    said = unknown if left is None else left_text(left, plan.replicates)
    out.print(f"{escape(said)}\n" if said else "", highlight=False, soft_wrap=True)
    if plan.infeasible:
        axes = map(escape, plan.study.axes)
        table = _table("Impossible (recorded as PRUNED; no worker is used)", *axes, "what kills it")
        for params, why in plan.infeasible[:ROWS]:
            table.add_row(*map(escape, map(str, params.values())), trace(why))
        out.print(table)
        _more(len(plan.infeasible), out)
    work = plan.work if left is None else left.work
    if work:
        what = "Feasible" if left is None else "Left to train"
        known_costs = plan.study.task.costs_known
        title = f"{what}, in the order of {'work (longest first)' if known_costs else 'the grid'}"
        costs = ("parameters", "MFLOP/image", "time") if known_costs else ()
        table = _table(title, *map(escape, plan.study.axes), *costs)
        for trial, count in work[:ROWS]:
            table.add_row(
                *map(escape, map(str, trial.params.values())), *(_costs(trial, count, speed) if costs else ())
            )
        out.print(table)
        _more(len(work), out)
        for line in plan_same_lines(plan):
            out.print(escape(line), highlight=False, soft_wrap=True)
        out.print(
            f"{counted(sum(count for _, count in work), 'replicate')}; what one takes is known once it has run"
            if not known_costs
            else f"{_cost_text(plan, left, workers, speed)} with {counted(workers, 'worker')} "
            f"({basis_text(work, speed)}), if no training stops early; "
            "reading the data and starting the workers come on top",
            highlight=False,
            soft_wrap=True,
        )


def _cost_text(plan: Plan, left: Left | None, workers: int, speed: Speed) -> str:
    """Say how long it takes; where trials are stopped early and nothing is trained yet, between what and what."""
    most = duration(estimate_s(plan.work if left is None else left.work, workers, speed))
    if not plan.rungs:
        return f"about {most}"
    if left is not None and left.finished:
        return f"at most about {most}"
    return f"between about {duration(least_s(plan, workers, speed))}, where rungs keep their share only, and {most}"


def stopping_text(plan: Plan) -> str:
    """Say how a study stops trials early; nothing where it does not."""
    rule = plan.study.stop_early
    if rule is None or not plan.rungs:
        return ""
    after = f"after {'epoch' if len(plan.rungs) == 1 else 'epochs'} {listed(map(str, plan.rungs))}"
    spared = ", and what the noise of the seeds cannot tell from the best," if rule.spare_ties else ""
    return f"stops early: {after} the best {rule.keep:.0%}{spared} go on"


def further_text(plan: Plan) -> str:
    """Say how far the best trials get further seeds; nothing where they get none."""
    rule = plan.study.extra_seeds
    if rule is None:
        return ""
    most = f"up to {rule.at_most} seeds, for at most {rule.budget:.0%} of what the sweep costs"
    return f"then the best that cannot be told apart get further seeds: {most}"


def rung_text(rung: Rung) -> str:
    """Say what a rung decided."""
    kept, tied = len(survivors(rung)), sum(place.tied for place in rung.places)
    near = f", {tied} of them as the noise of the seeds cannot tell them from the best" if tied else ""
    after = f"after epoch {rung.epoch}: {kept} of {counted(len(rung.places), 'trial')}"
    return f"{after} {'goes' if kept == 1 else 'go'} on{near}; {len(rung.stopped)} stopped"


def open_rung_text(epoch: int) -> str:
    """Say that a rung could not be decided, and what to do."""
    return (
        f"the rung after epoch {epoch} is not decided, as a replicate failed before it (the report says why), so "
        "nothing was stopped there. Launch again to try it once more, or with --keep-failed to go on without it: its "
        "trial ranks last then"
    )


def _source(plan: Plan) -> str:
    """Say what is trained on, or which code is run."""
    if plan.study.task.code is not None:
        return f"runs {plan.study.task.code.words}, digest {plan.study.task.code.digest}"
    return f"{plan.header.source}; images {' x '.join(map(str, plan.header.image_shape))}"


def _costs(trial: Trial, count: int, speed: Speed) -> tuple[str, str, str]:
    """Return what a trial, with so many seeds, costs."""
    flops = f"{trial.facts['flops_per_image'] / 1e6:.1f}"
    return f"{trial.facts['parameters']:,}", flops, duration(trial_s(trial, count, speed))


def basis_text(work: Sequence[tuple[Trial, int]], speed: Speed) -> str:
    """Say what an estimate of trials, each with so many seeds, is made from, and how sure it is."""
    within = f"most likely within a factor of {speed.factor(work):.1f}"
    if speed.device is None:
        return f"an assumption until a sweep has run here with as many cpus_per_worker, {within}"
    seen = counted(speed.count, "replicate")
    sizes = "one size" if len(speed.sizes) == 1 else f"{len(speed.sizes)} sizes"
    beyond = speed.beyond(work)
    larger = (
        f", the largest of which cost {beyond:,.0f} times less an epoch than the largest here" if beyond >= 2 else ""
    )
    return f"from {seen} of {sizes} measured here{larger}, on {speed.device}; {within}"


def plan_same_lines(plan: Plan) -> list[str]:
    """Return lines that tell which combinations are the same network as which, and why; none where all differ."""
    if not plan.same:
        return []
    networks = len(plan.trials) - len(plan.same)
    are = f"{len(plan.trials)} feasible combinations are {counted(networks, 'network')}"
    lines = [f"{are}, the others equal to the last bit:"]
    for why in dict.fromkeys(why for _, _, why in plan.same):
        pairs = [(params, of) for params, of, other in plan.same if other == why]
        lines.append(f"  {why}:")
        lines += [f"    {params_text(params)} as {params_text(of)}" for params, of in pairs[:FEW]]
        lines += [f"    ... and {len(pairs) - FEW} more; --json lists all"] if len(pairs) > FEW else []
    return lines


def left_text(left: Left, replicates: int) -> str:
    """Say what of a study is finished, what a launch would train, and how the file goes beyond what is stored."""
    stopped = f" ({left.stopped} stopped early)" if left.stopped else ""
    if not left.replicates:
        which = "the only replicate is" if replicates == 1 else f"all {replicates} replicates are"
        return f"{which} finished{stopped}: launch has nothing to train"
    added = [(left.new, "combination"), (left.new_seeds, "seed")]
    more = [counted(number, what) for number, what in added if number]
    beyond = f" (the file has {' and '.join(more)} more than the stored study)" if more else ""
    are = "is" if left.finished == 1 else "are"
    finished = f"{left.finished} of {counted(replicates, 'replicate')} {are} finished{stopped}"
    return f"{finished}; launch would train {left.replicates}{beyond}"


def print_best(results: SweepResults, out: Console, *, lives: bool = False) -> None:
    """Print the counts and the best combinations; `lives` says whether a launch of the study does."""
    if nothing := best_learned_nothing(results):
        out.print(f"[bold]{escape(nothing)}[/bold]", highlight=False, soft_wrap=True)
    out.print(_counts(results, lives=lives), highlight=False, soft_wrap=True)
    if results.count(TrialState.STOPPED):
        text = (
            "the best may be among those that were stopped early; with later rungs or a larger share (stop_early) they "
        )
        out.print(f"{text}go on", highlight=False, soft_wrap=True)
    ranked = results.distinct()
    if not ranked:
        return
    metric = results.metric
    unit = f" in {metric.unit}" if metric.unit else ""
    root = f", RMSE in {metric.square_of}" if metric.square_of else ""
    title = f"Best combinations ({metric.name} and its sd over the seeds{unit}{root})"
    columns = (metric.name, "sd", *(["RMSE"] if root else []))
    table = _table(escape(title), "rank", "trial", *map(escape, (*results.axes, *columns)))
    for rank, trial in enumerate(ranked[:5], start=1):
        value = loss_of(trial)
        spread = trial.spread()
        table.add_row(
            str(rank),
            str(trial.number),
            *(escape(str(trial.params[name])) for name in results.axes),
            f"{value:.4f}",
            "-" if math.isnan(spread) else f"{spread:.4f}",
            *([f"{math.sqrt(value):.3f}"] if root else []),
        )
    out.print(table)
    if results.label_variance is not None:
        constant = f"{metric.constant} gives {results.label_variance:.4f}{metric.with_unit}"
        out.print(escape(constant), highlight=False, soft_wrap=True)
    if results.race is not None and results.race.text:
        out.print(escape(results.race.text), highlight=False, soft_wrap=True)
    if len(ranked) == 1 and results.count(TrialState.STOPPED):
        out.print("one combination was trained to its end: its ties are not known", highlight=False, soft_wrap=True)
    near = ties_of(results, ranked[0])
    if near.trials and not nothing:
        words = f"{near.count()}, may be as good" if "," in near.count() else f"{near.count()} may be as good"
        words += f": within {near.margin:.4f}{metric.with_unit} of the best, the noise of the seeds"
        out.print(escape(words), highlight=False, soft_wrap=True)
    for line in alike_text(results):
        out.print(escape(line), highlight=False, soft_wrap=True)


def print_status(
    results: SweepResults, out: Console, launch: str | None = None, left: Left | None = None, replicates: int = 0
) -> None:
    """Print how far a study is.

    Args:
        results: What is stored.
        out: Where to.
        launch: The launch that lives, as it names itself; None where none does.
        left: What a launch of the file would train; None where that is not known.
        replicates: How many the file has.
    """
    out.print(f"[bold]{results.study}[/bold] (digest {results.digest})", highlight=False, soft_wrap=True)
    if launch is not None:
        out.print(f"being launched by {escape(launch)}", highlight=False, soft_wrap=True)
    if left is not None and (left.replicates or left.new):
        out.print(left_text(left, replicates), highlight=False, soft_wrap=True)
    print_best(results, out, lives=launch is not None)


def print_studies(overviews: "Sequence[Overview]", launches: Mapping[str, str], out: Console) -> None:
    """Print how far every study is; `launches` names those that live, by study."""
    if not overviews:
        out.print("no study is stored here yet", highlight=False)
        return
    table = _table(None, "study", "complete", "seeds", "failed", "best", "changed", "now")
    notes = []
    for one in overviews:
        if one.results is None:
            table.add_row(escape(one.name), "-", "-", "-", "-", "-", "-")
            notes.append(one.note)
            continue
        counts = states_counted(one.results, lives=one.name in launches)
        best = one.results.ranked()[:1]
        open_trials = sum(counts[name] for name in ("running", "waiting", "interrupted"))
        now = "being launched" if one.name in launches else f"{open_trials} left" if open_trials else "finished"
        table.add_row(
            escape(one.name), f"{counts['complete']} of {len(one.results.trials) - counts['infeasible']}",
            str(len(one.results.seeds)), str(counts["failed"]),
            escape(f"{loss_of(best[0]):.4f}{one.results.metric.with_unit}") if best else "-",
            f"{one.changed:%Y-%m-%d %H:%M}" if one.changed else "-", now,
        )  # fmt: skip
    out.print(table)
    for line in (*notes, *(f"{name}: being launched by {who}" for name, who in launches.items())):
        out.print(escape(line), highlight=False, soft_wrap=True)


def print_evidence(evidence: Evidence, folder: str, out: Console) -> None:
    """Print what was exported, from which others the noise cannot tell it, and what was not ranked."""

    def say(text: str) -> None:
        out.print(escape(text), highlight=False, soft_wrap=True)

    place = f"rank {evidence.rank} of {evidence.of}"
    say(f"{folder}/: trial {evidence.trial} ({place}): {params_text(evidence.params)}")
    if evidence.margin is None:
        say("one seed: nothing can be said about ties. More `seeds` in the study, and launching again, would tell")
    if evidence.same_network:
        say(f"the same network: {_listed([str(n) for n in evidence.same_network], 'trial')}; an axis changes nothing")
    if evidence.ties:
        others = _listed([f"{tie.trial} ({tie.value:.4f})" for tie in evidence.ties], "trial")
        say(
            f"tied: {others} within the noise of the seeds, {evidence.margin:.4f} dex² around {evidence.value:.4f}. "
            "`clustersweep report` shows what they have in common; --trial N exports another"
        )
    if evidence.failed_seeds:
        lost = _listed([f"{f.trial} (seed {f.seed}: {f.reason})" for f in evidence.failed_seeds], "replicate")
        say(f"failed: {lost}; a trial without all of its seeds is not ranked. `clustersweep launch` tries them again")


def print_own_export(done: "Exported", results: SweepResults, out: Console) -> None:
    """Print what was exported of a trainer of one's own, and from which others the noise cannot tell it."""

    def say(text: str) -> None:
        out.print(escape(text), highlight=False, soft_wrap=True)

    metric, trial = results.metric, done.trial
    say(f"{done.folder}/: trial {trial.number} (rank {done.rank} of {done.of}): {params_text(trial.params)}")
    seeds = ", ".join(f"{replicate.value:.4f} with seed {replicate.seed}" for replicate in trial.complete_replicates)
    say(f"{metric.name} {loss_of(trial):.4f}{metric.with_unit}, {results.over_seeds} of {seeds}")
    if math.isnan(done.near.margin):
        say("one seed: nothing can be said about ties. More `seeds` in the study, and launching again, would tell")
    if done.near.trials:
        others = _listed([f"{tie.number} ({loss_of(tie):.4f})" for tie in done.near.trials], "trial")
        say(
            f"tied: {others} within the noise of the seeds, {done.near.margin:.4f}{metric.with_unit} around "
            f"{loss_of(trial):.4f}. `clustersweep report` shows what they have in common; --trial N exports another"
        )
    best = trial.best_replicate(metric)
    if done.saved and best.best_epoch < best.epochs:
        say(
            f"the saved state is what run.save gave last, and the value of seed {best.seed} is that of epoch "
            f"{best.best_epoch} of {best.epochs}: save only where the metric is the best yet, if you want that state"
        )
    if not done.saved:
        say("the function never called run.save: there is no state of it to export")
    if not done.code:
        say("the code that trained it is not kept here: export on the machine that launched the sweep for that")


def print_export(done: "MassesExported | Exported", trial: TrialResult, results: SweepResults, out: Console) -> None:
    """Print what was exported of a study, whatever it trains."""
    from clustersweep.own.export import Exported

    if isinstance(done, Exported):
        print_own_export(done, results, out)
        return
    if nothing := trial_learned_nothing(f"trial {trial.number}", results, trial):
        out.print(escape(nothing), highlight=False, soft_wrap=True)
    print_evidence(done.evidence, str(done.folder), out)
    if results.race is not None and results.race.text:
        out.print(escape(results.race.text), highlight=False, soft_wrap=True)
    out.print(
        f"weights of seed {done.evidence.weights_of_seed}: {escape(str(done.proof))}", highlight=False, soft_wrap=True
    )


def print_replay(results: SweepResults, replayed: Sequence[Replayed], out: Console) -> None:
    """Print what rules for stopping would have cost and risked; of one rule alone, also what each rung decides."""

    def say(text: str) -> None:
        out.print(escape(text), highlight=False, soft_wrap=True)

    trials, metric = replayable(results), results.metric
    seeds = counted(len(results.seeds), "seed")
    epochs = counted(longest(results), "epoch")
    say(f"{results.study}: {counted(len(trials), 'complete trial')}, {seeds}, up to {epochs}")
    said = ", ".join(map(str, replayed[0].rule.rungs))
    say(f"compared after epoch {said}; all shares are of what training everything to its end took\n")
    table = _table(
        "What stopping early would have cost and risked", "keeps", "ties", "epochs", "time", "stopped", "winner",
        "rank", escape(metric.titled("worse by")), escape(metric.titled("fresh seed")),
    )  # fmt: skip
    for one in replayed:
        table.add_row(
            f"{one.rule.keep:.0%}", "spared" if one.rule.spare_ties else "no", f"{one.epochs:.0%}",
            "-" if math.isnan(one.seconds) else f"{one.seconds:.0%}", str(len(one.stopped)), str(one.winner.number),
            str(one.rank), f"{one.regret:.4f}", "-" if math.isnan(one.fresh_regret) else f"{one.fresh_regret:+.4f}",
        )  # fmt: skip
    out.print(table)
    if len(replayed) == 1:
        for rung in replayed[0].rungs:
            tied = sum(place.tied for place in rung.places)
            ties = f", {tied} of them as ties of the best" if tied else ""
            count = counted(len(rung.places), "trial")
            say(f"after epoch {rung.epoch}: {count}, {len(rung.places) - len(rung.stopped)} kept{ties}")
    margin = ties_of(results, trials[0]).margin
    if math.isnan(margin):
        say("one seed: ties are not known, so none is spared, and nothing judges the winner anew")
        return
    say(f"what is worse by less than {margin:.4f}{metric.with_unit} cannot be told from the best by {seeds}")
    if len(results.seeds) > 2:  # two decide, and one judges
        say("fresh seed: each seed in turn judges the winner that the others choose, beside the whole grid's choice")


def _listed(items: list[str], noun: str) -> str:
    """Count and name the first of some things: `3 trials, 7 (0.0701), ...`."""
    count = f"{len(items)} or more {noun}s" if len(items) == MOST_LISTED else counted(len(items), noun)
    return f"{count}, {', '.join(items[:FEW])}{', ...' if len(items) > FEW else ''}"


def trace(why: Infeasible) -> str:
    """Write the shapes that lead to an impossible layer as one line."""
    if not why.layer:
        return escape(why.reason)
    steps = [f"{name} {'x'.join(map(str, shape))}" for name, shape in why.trace]
    return " → ".join([*steps, f"[red]{why.layer}[/red]"]) + f": {why.reason}"


def _counts(results: SweepResults, *, lives: bool) -> str:
    counts = states_counted(results, lives=lives)
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    text = f"{counted(len(results.trials), 'combination')}: {told}"
    return text + (f" ({results.continued} of them to be continued with new seeds)" if results.continued else "")


def _more(count: int, out: Console) -> None:
    if count > ROWS:
        out.print(f"... and {count - ROWS} more; --json lists all", highlight=False, soft_wrap=True)


class _Head:
    """The head of a column, which breaks after `_` and at spaces where the terminal is too narrow for all of it."""

    def __init__(self, name: str) -> None:
        self._parts = re.findall(r"[^_ ]*[_ ]|[^_ ]+$", Text.from_markup(name).plain) or [""]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(max(map(cell_len, self._parts)), cell_len("".join(self._parts)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for part in self._parts:
            if lines[-1] and cell_len(lines[-1] + part.rstrip()) > options.max_width:
                lines.append("")
            lines[-1] += part
        yield Text("\n".join(line.rstrip() for line in lines), overflow="fold")


def _table(title: str | None, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(_Head(column), overflow="fold")
    return table


def params_text(params: Params) -> str:
    """Write a combination as `filters=10 kernel_size=3`."""
    return " ".join(f"{name}={value}" for name, value in params.items())
