"""What was predicted, as a person reads it."""

import math

from rich.console import Console

from clustersweep.display.training_progress import print_metrics
from clustersweep.training.files.mass_table import flag_text
from clustersweep.training.files.trained_model import TrainedModel
from clustersweep.training.predict import Comparison, Summary


def print_comparison(done: Summary, found: Comparison | None, out: Console) -> None:
    """Print how good the masses are where they are known; None: there is nothing to compare with."""

    def say(text: str) -> None:
        out.out(text, highlight=False)

    if found is None:
        left_out = " that the model was not trained with" if done.taught.any() else ""
        say(f"\nno cluster{left_out} has both a known and a predicted mass: nothing to compare")
        return
    say("")
    print_metrics(f"Against the known masses of {found.metrics.number:,} clusters", found.metrics, out)
    taught = int(done.taught.sum())
    if taught:
        say(f"{taught:,} of {done.clusters:,} trained or validated the model, and are left out")
    if found.outside:
        others = "" if math.isnan(found.rmse_inside) else f"; without them the RMSE is {found.rmse_inside:.3f} dex"
        say(f"{found.outside:,} with flag 1 or 2, outside what the model was trained on, are counted in{others}")
    if lacking := done.clusters - taught - found.metrics.number:
        say(f"{lacking:,} of {done.clusters:,} have no known or no predicted mass")
    for before, after in zip(found.before.coverage, found.after.coverage, strict=True):
        shares = f"{after.observed:.1%} ({before.observed:.1%} before recalibration)"
        say(f"truth within {after.sigma} sigma: {shares}, {after.nominal:.1%} ± {after.error:.1%} is honest")


def print_summary(done: Summary, trained: TrainedModel, out: Console) -> None:
    """Print the range of what was predicted, and what is doubtful in it."""

    def say(text: str) -> None:
        out.out(text, highlight=False)

    if done.without_mass < done.clusters:
        low, median, high = done.log_mass
        say(f"{'log10 M500c / Msun':<20} {low:.2f} to {high:.2f}, median {median:.2f}")
        say(f"{'median uncertainty':<20} {done.median_sd:.3f} dex")
    if done.without_mass:
        say(f"{'without a mass':<20} {done.without_mass:,}")
    say(f"{'computed on':<20} {done.device}")
    say(f"{'flagged':<20} {done.flagged:,}")
    for flag, count in sorted(done.flags.items()):
        if count:
            say(f"  {f'flag {flag.value}':<18} {count:,}: {flag_text(flag, trained)}")
    if done.parts is None:
        say(f"{'seen in training':<20} cannot be told: an earlier version wrote the model")
    elif sum(done.parts.values()):
        counted = ", ".join(f"{count:,} {part}" for part, count in done.parts.items() if count)
        say(f"{'seen in training':<20} {sum(done.parts.values()):,}: {counted} (column `part`)")
