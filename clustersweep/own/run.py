"""What a trainer of one's own gets, and how what it says becomes the events of a replicate.

The function runs in a thread; what it reports or saves is handed over one thing at a time, and it goes on only when
that has been taken: so an epoch is never told late, and a stop reaches it where it stands.
"""

import json
import math
import operator
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any

from clustersweep.errors import first_line
from clustersweep.study.events import (
    DIVERGED,
    Checkpoint,
    DamagedCheckpointError,
    EpochEnd,
    Event,
    Failed,
    Finished,
    Stopped,
    failure_of,
)
from clustersweep.study.keys import Params
from clustersweep.study.objective import Metric

FORMAT = b"clustersweep-run-1\n"
JOIN_S = 5.0
"""So long a function that was stopped may take to clean up before its worker goes on without it."""


class MisuseError(Exception):
    """The function uses its run in a way that cannot be understood.

    Attributes:
        signature: Short and equal for equal causes.
    """

    def __init__(self, signature: str, message: str) -> None:
        super().__init__(message)
        self.signature = signature


class _Stop(BaseException):
    """Raised inside the function once it is to stop: no `except Exception` of its own holds it up."""


@dataclass(frozen=True)
class _Epoch:
    """An epoch as it was reported."""

    number: int
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class _State:
    """What `save` was given."""

    content: bytes


@dataclass(frozen=True)
class _End:
    """The function has returned, or raised."""

    error: BaseException | None = None
    trace: str = ""


class _Talk:
    """Two threads that speak in turn: the function's says something, and waits until the other one has taken it."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[_Epoch | _State | _End] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._over = False

    def say(self, what: _Epoch | _State) -> None:
        """In the function's thread: hand something over."""
        if self._over:
            raise _Stop
        self._said.put(what)
        self._over = not self._answers.get()
        if self._over:
            raise _Stop

    def end(self, what: _End) -> None:
        """In the function's thread: say the last thing."""
        self._said.put(what)

    def hear(self) -> _Epoch | _State | _End:
        """In the other one: wait for the next thing; an answer is due."""
        return self._said.get()

    def answer(self, *, go_on: bool) -> None:
        """Let the function go on, or have it stop."""
        self._answers.put(go_on)


class Run:
    """One training, as the function sees it.

    Attributes:
        params: The combination: a value of each axis.
        settings: The study's `settings`, as they stand there.
        seed: Everything random is to derive from it.
        saved: What `save` was given last before an interruption; None where the training begins.
    """

    def __init__(
        self,
        params: Params,
        settings: Mapping[str, Any],
        seed: int,
        saved: bytes | None,
        *,
        talk: _Talk,
        metric: str,
    ) -> None:
        self.params = dict(params)
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))  # its own: nobody else's are changed by it
        self.seed = seed
        self.saved = saved
        self._talk, self._metric, self._began = talk, metric, time.monotonic()

    def report(self, epoch: int, **metrics: float) -> None:
        """Tell what an epoch came to; called again with every epoch, in their order, from 1.

        Args:
            epoch: Its number. A training without epochs reports once, as epoch 1.
            metrics: The objective's metric, and any others, as numbers.
        """
        number = _whole(epoch)
        if self._metric not in metrics:
            has = f"it has {', '.join(metrics)}" if metrics else "it has none"
            rule = f"the report of epoch {number} has no metric {self._metric!r}, which the study is judged by; {has}"
            remedy = f"Report it, `run.report({number}, {self._metric}=...)`, or name another in `objective: metric:`"
            raise MisuseError("MetricMissing", f"{rule}. {remedy}")
        found = {name: _number(name, value, number) for name, value in metrics.items()}
        value = found[self._metric]
        if not math.isfinite(value):
            rule = f"{self._metric} is not finite in epoch {number} ({value})"
            raise MisuseError(DIVERGED, f"{rule}: this combination has no result with this seed")
        others = {name: value for name, value in found.items() if math.isfinite(value)}
        self._talk.say(_Epoch(number, others, time.monotonic() - self._began))
        self._began = time.monotonic()

    def save(self, state: bytes) -> None:
        """Keep what is needed to go on after the epoch that was reported last; it comes back as `saved`.

        Args:
            state: Anything, as bytes.
        """
        if not isinstance(state, bytes | bytearray | memoryview):
            rule = f"run.save takes bytes, and was given {type(state).__name__}"
            raise MisuseError("CheckpointNotBytes", f"{rule}. Turn it into bytes, for instance with pickle.dumps")
        self._talk.say(_State(bytes(state)))


def _whole(epoch: Any) -> int:
    try:
        return operator.index(epoch)
    except TypeError:
        rule = f"an epoch is a whole number from 1, and {epoch!r} was reported"
        raise MisuseError("EpochsOutOfOrder", f"{rule}. Call run.report(1, ...), then run.report(2, ...)") from None


def _number(name: str, value: Any, epoch: int) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        rule = f"{name} of epoch {epoch} is no number but {type(value).__name__}"
        raise MisuseError("NotANumber", f"{rule}. Report numbers, for instance float({name})") from None


@dataclass(frozen=True)
class Progress:
    """How far a replicate is: what its checkpoints hold beside the function's own state.

    Attributes:
        key: The replicate's.
        epochs: Metrics of every epoch.
        seconds: How long each took.
        resumed: How often it was continued.
        saved_after: The epochs that `state` is after.
        state: What `save` was given last; None where it never was.
    """

    key: str
    epochs: tuple[Mapping[str, float], ...] = ()
    seconds: tuple[float, ...] = ()
    resumed: int = 0
    saved_after: int = 0
    state: bytes | None = None

    def packed(self) -> bytes:
        """Return it as bytes."""
        fields = asdict(replace(self, state=None)) | {"bytes": None if self.state is None else len(self.state)}
        head = json.dumps(fields).encode()
        return b"%s%d\n%s%s" % (FORMAT, len(head), head, self.state or b"")

    def reported(self, epoch: _Epoch) -> "Progress":
        """Return it with an epoch, in place of those from it on."""
        before = epoch.number - 1
        return replace(
            self, epochs=(*self.epochs[:before], epoch.metrics), seconds=(*self.seconds[:before], epoch.seconds)
        )


def unpacked(content: bytes, key: str) -> Progress:
    """Read a checkpoint. It is data alone: nothing in it is run.

    Raises:
        DamagedCheckpointError: It is not whole, or another replicate's.
    """
    try:
        if not content.startswith(FORMAT):
            raise ValueError("it is none of a trainer of one's own")
        length, _, rest = content.removeprefix(FORMAT).partition(b"\n")
        head, state = json.loads(rest[: int(length)]), rest[int(length) :]
        size = head.pop("bytes")
        if len(state) != (size or 0):
            raise ValueError("it is cut short")
        found = Progress(**{**head, "epochs": tuple(head["epochs"]), "seconds": tuple(head["seconds"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(str(error)) from error
    if found.key != key:
        raise DamagedCheckpointError(f"belongs to replicate {found.key}, not to {key}")
    return replace(found, state=None if size is None else state)


@dataclass
class OwnTrainer:
    """Trains one combination with a function; see `study.task.Trainer`.

    Attributes:
        function: It.
        params: The combination.
        settings: The study's.
        metric: What is judged.
        code: Digest of the function's code.
        file: The function's file, for messages.
    """

    function: Callable[[Run], object]
    params: Params
    settings: Mapping[str, Any]
    metric: Metric
    code: str = ""
    file: str = ""

    @property
    def _name(self) -> str:
        return str(getattr(self.function, "__name__", "the function"))  # a `functools.partial` has none

    def replicate(
        self,
        seed: int,
        *,
        key: str,
        checkpoint: bytes | None,
        checkpoint_every_s: float,
        until: int | None = None,
        stop: Callable[[], bool],
    ) -> Iterator[Event]:
        """See `study.task.Trainer`. Where a checkpoint holds no state of the function's, that begins again."""
        progress = _gone_on_with(checkpoint, key)
        talk = _Talk()
        run = Run(self.params, self.settings, seed, progress.state, talk=talk, metric=self.metric.name)
        thread = threading.Thread(target=self._call, args=(run, talk), name=self._name, daemon=True)
        thread.start()
        heard = False
        try:
            for event in self._events(talk, progress, checkpoint_every_s, lambda n: stop() or _reached(until, n)):
                heard = isinstance(event, Finished | Failed)
                yield event
        finally:
            if not heard:
                talk.answer(go_on=False)  # it is raised where the function reports or saves next
                thread.join(JOIN_S)

    def _events(
        self, talk: _Talk, progress: Progress, checkpoint_every_s: float, halts: Callable[[int], bool]
    ) -> Iterator[Event]:
        """Turn what the function says into events; the last one but `Finished` and `Failed` leaves an answer due."""
        saved_at, fresh, resumed_at = time.monotonic(), True, len(progress.epochs)
        while True:
            match said := talk.hear():
                case _End():
                    yield self._ended(said, progress)
                    return
                case _Epoch():
                    most = resumed_at + 1 if fresh else len(progress.epochs) + 1
                    if not (1 if fresh else most) <= said.number <= most:
                        talk.answer(go_on=False)
                        yield _out_of_order(said.number, most)
                        return
                    # One that saved after the epoch before will do so now, and so may any after its first.
                    saves = said.number == 1 or (progress.state is not None and progress.saved_after == said.number - 1)
                    progress, fresh = progress.reported(said), False
                    yield self._epoch_end(said)
                    halting = halts(said.number) and not saves
                case _State():
                    progress = replace(progress, state=said.content, saved_after=len(progress.epochs))
                    halting = halts(len(progress.epochs))
            due = isinstance(said, _State) and time.monotonic() - saved_at >= checkpoint_every_s
            if halting or due:
                saved_at = time.monotonic()
                yield Checkpoint(len(progress.epochs), progress.packed(), self._curve(progress))
            if halting:
                yield Stopped()
                return
            talk.answer(go_on=True)

    def _call(self, run: Run, talk: _Talk) -> None:
        """In the thread: call the function, and say how it ended."""
        try:
            self.function(run)
        except _Stop:
            talk.end(_End())
        except BaseException as error:  # whatever breaks one replicate, `sys.exit` too, must not end the worker
            talk.end(_End(error, "".join(traceback.format_exception(type(error), error, _own_part(error)))))
        else:
            talk.end(_End())

    def _ended(self, end: _End, progress: Progress) -> Finished | Failed:
        epochs = len(progress.epochs)
        if isinstance(end.error, MisuseError):
            return Failed(end.error.signature, str(end.error), end.trace)
        if end.error is not None:
            failed = failure_of(end.error, end.trace)
            when = f"after epoch {epochs}" if epochs else "before its first report"
            message = (
                f"{type(end.error).__name__} {when}{_line_of(end.error, self.file)}: {first_line(end.error)[:500]}"
            )
            return replace(failed, message=message)
        if not epochs:
            rule = f"{self._name} ended without having reported anything"
            return Failed("NothingReported", f"{rule}. Call run.report(1, {self.metric.name}=...) in it")
        values = [epoch[self.metric.name] for epoch in progress.epochs]
        best = min(range(epochs), key=lambda place: self.metric.order(values[place]))
        return Finished(
            val_loss=values[best],
            best_epoch=best + 1,
            epochs=epochs,
            seconds=sum(progress.seconds),
            curve=self._curve(progress),
            resumed=progress.resumed,
            weights=progress.state or b"",
            metrics={name: value for name, value in progress.epochs[best].items() if name != self.metric.name},
            code=self.code,
        )

    def _epoch_end(self, said: _Epoch) -> EpochEnd:
        name = self.metric.name
        return EpochEnd(
            said.number, self._training_part(said.metrics), said.metrics[name], said.seconds, metrics=said.metrics
        )

    def _curve(self, progress: Progress) -> tuple[tuple[float, float], ...]:
        return tuple((self._training_part(epoch), epoch[self.metric.name]) for epoch in progress.epochs)

    def _training_part(self, metrics: Mapping[str, float]) -> float:
        """Return `loss` beside `val_loss`, as Keras calls the two; NaN where the metric has no such name."""
        return training_part(self.metric.name, metrics)


def training_part(metric: str, metrics: Mapping[str, float]) -> float:
    """Return `loss` of some metrics where `val_loss` is judged, as Keras calls the two; NaN where there is none."""
    return metrics.get(metric.removeprefix("val_"), math.nan) if metric.startswith("val_") else math.nan


def _gone_on_with(checkpoint: bytes | None, key: str) -> Progress:
    if checkpoint is not None:
        try:
            found = unpacked(checkpoint, key)
            if found.state is not None:
                return replace(found, resumed=found.resumed + 1)
        except DamagedCheckpointError:
            pass  # beginning again gives the same numbers, only later
    return Progress(key)


def _reached(until: int | None, epoch: int) -> bool:
    return until is not None and epoch >= until


def _out_of_order(found: int, most: int) -> Failed:
    rule = f"epoch {found} was reported where epoch {most} was due"
    hint = "every epoch is reported once and in its order, and its state is saved after that"
    if found == 0:
        hint = "epochs count from 1 (Keras' callbacks count from 0: report epoch + 1)"
    return Failed("EpochsOutOfOrder", f"{rule}: {hint}")


def _own_part(error: BaseException) -> TracebackType | None:
    """Return the traceback without the frame of this file."""
    return error.__traceback__.tb_next if error.__traceback__ else None


def _line_of(error: BaseException, file: str) -> str:
    """Say which line of the function's file an error came through last; nothing where it did not."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" (line {lines[-1]} of {file})" if lines else ""
