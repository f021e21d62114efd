"""What the training of one replicate tells while it runs. Plain values that travel between processes.

`print` shows each as one short line.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from clustersweep.errors import first_line


@dataclass(frozen=True)
class Device:
    """What computes, and how: what decides the last bits of a loss beside the study.

    Attributes:
        kind: `CPU` or `GPU`.
        model: Its name, as the machine has it.
        threads: CPU threads of TensorFlow's operations.
        precision: How it multiplies, `float32` or `tf32`; CPUs always in float32.
        deterministic: Whether it adds up in one order always, as CPUs do.
    """

    kind: str
    model: str
    threads: int
    precision: str
    deterministic: bool

    def __str__(self) -> str:
        order = "" if self.deterministic else ", order of sums left open"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.kind} {self.model}, {threads}, {self.precision}{order}"


class DamagedCheckpointError(Exception):
    """The bytes are no whole checkpoint of this replicate: start the replicate again."""


@dataclass(frozen=True)
class EpochEnd:
    """An epoch ended. `epoch` counts from 1.

    Attributes:
        epoch: Its number.
        loss: Loss of the training part (mean squared error of log10 M500c, dex^2); NaN where the task tells none.
        val_loss: The task's metric (the same of the validation part).
        seconds: How long it took.
        val_nll: The validation part's mean Gaussian negative log-likelihood, where the network has a variance.
        metrics: All that a trainer of one's own reported, by name.
    """

    epoch: int
    loss: float
    val_loss: float
    seconds: float
    val_nll: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        if self.metrics:
            told = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
            return f"epoch {self.epoch}: {told}, {self.seconds:.1f} s"
        likelihood = "" if self.val_nll is None else f", val_nll {self.val_nll:.4f}"
        return (
            f"epoch {self.epoch}: loss {self.loss:.4f}, val_loss {self.val_loss:.4f}{likelihood}, {self.seconds:.1f} s"
        )


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on after `epoch`.

    Attributes:
        epoch: Epochs done, counted from the beginning.
        state: What the task's trainer reads again; opaque to everybody else.
        curve: `(loss, val_loss)` of every epoch until here.
    """

    epoch: int
    state: bytes = field(repr=False)
    curve: tuple[tuple[float, float], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"checkpoint after epoch {self.epoch}"


@dataclass(frozen=True)
class Finished:
    """The replicate ended well.

    Attributes:
        val_loss: The task's metric at the best epoch (validation loss, dex^2).
        best_epoch: The epoch, counted from 1, with the best metric (`val_nll` where that is trained).
        epochs: Epochs trained, those before an interruption included.
        seconds: Time spent training, the same.
        curve: `(loss, val_loss)` of every epoch; see `EpochEnd`.
        resumed: How often it was continued from a checkpoint.
        weights: What is kept of it: weights of the best epoch, as an npz file's bytes; empty where nothing is.
        val_nll: Negative log-likelihood of the best epoch, where the network has a variance.
        nll_curve: `(nll, val_nll)` of every epoch, where the network has a variance.
        devices: What computed its epochs, in their order; several where it was continued elsewhere, none where an
            older version computed a part.
        metrics: What else a trainer of one's own reported at the best epoch, by name.
        code: Digest of the code of one's own that trained it; empty where none did.
    """

    val_loss: float
    best_epoch: int
    epochs: int
    seconds: float
    curve: tuple[tuple[float, float], ...] = field(repr=False)
    resumed: int
    weights: bytes = field(repr=False)
    val_nll: float | None = None
    nll_curve: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    devices: tuple[Device, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    code: str = ""

    def __str__(self) -> str:
        likelihood = "" if self.val_nll is None else f", val_nll {self.val_nll:.4f}"
        at = f"at epoch {self.best_epoch} of {self.epochs}"
        return f"finished: val_loss {self.val_loss:.4f}{likelihood} {at}, {self.seconds:.1f} s"


@dataclass(frozen=True)
class Stopped:
    """The replicate was asked to stop, and has handed over its checkpoint."""

    def __str__(self) -> str:
        return "stopped, with a checkpoint"


# The signature of a loss that became infinite or not a number: the combination's own fault, and no other's.
DIVERGED = "NonFiniteLoss"
# That of memory which is not to be had: TensorFlow's name for it.
OUT_OF_MEMORY = "ResourceExhaustedError"


@dataclass(frozen=True)
class Failed:
    """The replicate cannot be trained.

    Attributes:
        signature: Short and equal for equal causes (`NonFiniteLoss`, `ResourceExhaustedError`).
        message: What went wrong, for a person.
        trace: The traceback, empty where there is none.
    """

    signature: str
    message: str
    trace: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"failed: {self.signature}: {self.message}"


def failure_of(error: BaseException, trace: str = "") -> Failed:
    """Return the failure that an error is; `trace`: where it was raised, if that was in another process."""
    trace = trace or "".join(traceback.format_exception(error))
    # numpy and Python have names of their own for the memory that they do not get.
    return Failed(
        OUT_OF_MEMORY if isinstance(error, MemoryError) else type(error).__name__, first_line(error)[:500], trace
    )


Event = EpochEnd | Checkpoint | Finished | Stopped | Failed
