"""A trainer of one's own that trains nothing: what `noop_launch.py` tells of three epochs, reported by a function."""

from clustersweep.own.run import Run

EPOCHS = 3


def train(run: Run) -> None:
    """Report three epochs at once."""
    for epoch in range(1, EPOCHS + 1):
        run.report(epoch, loss=2.0 / epoch, val_loss=1.0 / epoch)
