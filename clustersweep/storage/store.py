"""The door to Optuna and SQLAlchemy: how a study, its trials and their replicates are kept. Trains nothing."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from clustersweep.errors import NOT_STORED_REMEDY, StorageError
from clustersweep.postgres.url import KEEPALIVES
from clustersweep.storage.access import access_to
from clustersweep.storage.errors import translated
from clustersweep.storage.records import (
    CODES,
    LAUNCHES,
    MAX_NOTES,
    RACE,
    RECORD,
    RULES,
    VARIANCE,
    TrialUpdate,
    distribution,
    infeasible_trial,
    marked_alike,
    notes,
    of_version,
    race_attribute,
    race_of,
    replicate_update,
    require_extension,
    require_same_code,
    stopped_note,
    stopped_update,
    trial_result,
    version_attribute,
    waiting_trial,
)
from clustersweep.study.definition import definition, filled
from clustersweep.study.plan import Left, Plan
from clustersweep.study.race import Race
from clustersweep.study.reconcile import Newest, left_to_train, reconcile
from clustersweep.study.results import (
    LaunchTime,
    PausedReplicate,
    ReplicateResult,
    StoppedAt,
    SweepResults,
    Trial,
    TrialResult,
    combination,
)
from clustersweep.study.study import Study
from clustersweep.study.task import Tasks

optuna.logging.set_verbosity(optuna.logging.WARNING)

# Where Optuna keeps what the values of a study are called.
METRIC_NAMES = "study:metric_names"
# Whoever makes Optuna's tables holds this lock until its session ends: two at the same time trip over one another.
LOCK_TABLES = "SELECT pg_advisory_lock(hashtext('clustersweep tables'))"


@dataclass(frozen=True)
class OpenTrial:
    """A stored trial that still has replicates to train.

    Attributes:
        trial_id: The storage's own identity.
        number: Optuna's number within the study.
        trial: What to train.
        done: Replicates that have ended, by seed.
        paused: Replicates that are at a rung, by seed.
        instead: The trial that is added when this one, which was stopped, goes on.
        study_id: The storage's own identity of the study.
        seeds: All that it is to have.
    """

    trial_id: int
    number: int
    trial: Trial
    done: Mapping[int, ReplicateResult]
    paused: Mapping[int, PausedReplicate] = field(default_factory=dict)
    instead: FrozenTrial | None = field(default=None, repr=False)
    study_id: int = 0
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Overview:
    """How far a stored study is.

    Attributes:
        name: The study's.
        results: What it came to; None for one that clustersweep did not make, or has not begun yet.
        changed: When a trial of it began or ended last, by the clock of whoever launched it.
        note: Why there are no results.
    """

    name: str
    results: SweepResults | None
    changed: datetime | None
    note: str = ""


class Storage:
    """Studies in one database. Only the driver of a sweep writes; anybody may read."""

    def __init__(self, backend: BaseStorage, tasks: Tasks | None = None, where: str = "this database") -> None:
        self._backend, self._tasks, self._access, self._where = backend, tasks, access_to(backend), where
        self._written: dict[int, dict[int, float]] = {}  # intermediate values in the database, by trial
        self._stops_noted = 0

    @classmethod
    def connect(cls, url: str, tasks: Tasks | None = None, where: str = "this database") -> "Storage":
        """Open the database at a SQLAlchemy URL; makes Optuna's tables where they are missing.

        Args:
            url: Where it is.
            tasks: Tells what a stored study trains, by its definition; only `results` needs to know.
            where: What messages call it, without a password.

        Raises:
            StorageError: It cannot be used.
        """
        arguments = {
            "connect_timeout": 10,
            "application_name": "clustersweep",
            **KEEPALIVES,
        }
        with translated():
            engine = {"pool_size": 2, "pool_pre_ping": True, "connect_args": arguments}
            with _alone(sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=arguments)):
                return cls(RDBStorage(url, engine_kwargs=engine), tasks, where)

    @classmethod
    def in_memory(cls, tasks: Tasks | None = None) -> "Storage":
        """Keep everything in this process, for tests and trials of one's own."""
        return cls(InMemoryStorage(), tasks)

    @property
    def backend(self) -> BaseStorage:
        """Optuna's storage, for what Optuna offers itself (the dashboard)."""
        return self._backend

    def studies(self) -> tuple[str, ...]:
        """Name the studies that are stored."""
        with translated():
            return tuple(sorted(study.study_name for study in self._backend.get_all_studies()))

    def begin(self, plan: Plan, *, retry_failed: bool = True, same_code: bool = False) -> list[OpenTrial]:
        """Create the study or extend it to the plan, and give the trials that have work left, in the plan's order.

        Finished trials stay as they are. One that lacks seeds, or failed, is continued by a new trial that
        takes over its complete replicates and names it in `supersedes`.

        Args:
            plan: What is wanted.
            retry_failed: Train failed replicates once more.
            same_code: Go on though the code of one's own has changed; that is recorded.

        Raises:
            StudyChangedError: The stored study is another one; the message is a diff.
            StorageError: The database cannot be used.
        """
        if plan.definition is None:
            raise ValueError("a plan whose data were not read cannot be stored")
        with translated():
            study_id = self._study_id(plan, plan.definition)
            frozen = _newest(of_version(plan.definition, self._access.read_trials(study_id)))
            code = plan.study.task.code
            if code is not None:
                attributes = self._backend.get_study_user_attrs(study_id)
                if RECORD in attributes and not same_code:
                    require_same_code(plan.study, attributes[RECORD], plan.definition, _plain(frozen).values())
                self._record_code(study_id, code.digest, plan.definition, attributes, same_code=same_code)
            record = {"digest": plan.digest, "definition": plan.definition, "seeds": list(plan.study.seeds)}
            record |= {"code": code.digest} if code is not None else {}
            self._record_rule(study_id, plan)
            self._backend.set_study_user_attr(study_id, RECORD, record)  # one attribute: never half a record
            variance = self._backend.get_study_user_attrs(study_id).get(VARIANCE)
            todo = reconcile(plan, _plain(frozen), retry_failed=retry_failed, label_variance=variance)
            if todo.race is not None:
                self._backend.set_study_user_attr(study_id, RACE, race_attribute(todo.race))
            spaces = _spaces(plan)
            version = version_attribute(plan.definition)
            impossible = [infeasible_trial(params, why, spaces, version) for params, why in todo.impossible]
            to_add = {
                place: waiting_trial(w.trial, (*w.done.values(), *w.paused.values()), w.supersedes, spaces, version)
                for place, w in enumerate(todo.work)
                if w.continues is None
            }
            fresh = [trial for place, trial in to_add.items() if not todo.work[place].later]
            added = self._access.add_trials(study_id, [*impossible, *fresh])
            reasons = {trial_id: why for (trial_id, _), (_, why) in zip(added, todo.impossible, strict=False)}
            self._access.set_study_system_attributes(study_id, notes(reasons))
            known = {trial.number: (trial._trial_id, trial.number) for trial in frozen.values()}
            new = iter(added[len(impossible) :])
            opened = []
            for place, w in enumerate(todo.work):
                stored = w.supersedes if w.later else w.continues
                where = next(new) if stored is None else known[stored]
                instead = to_add[place] if w.later else None
                opened.append(OpenTrial(*where, w.trial, w.done, w.paused, instead, study_id, w.seeds))
            return opened

    def left(self, plan: Plan, *, same_code: bool = False) -> Left | None:
        """Tell what of a plan `begin` would have trained, and write nothing; None where the study is not stored.

        A plan whose data were not read is taken to be of the stored study's data. With `same_code`, code of one's own
        may have changed.

        Raises:
            StudyChangedError: The stored study is another one; the message is a diff.
            StorageError: The database cannot be used.
        """
        compared = self._compared(plan, same_code=same_code)
        if compared is None:
            return None
        record, newest, variance = compared
        return left_to_train(plan, newest, record["seeds"], variance)

    def open_work(
        self, plan: Plan, *, retry_failed: bool = True, same_code: bool = False
    ) -> tuple[tuple[Trial, int], ...]:
        """Return the trials that `begin` would, each with the number of seeds that it lacks, and write nothing.

        Raises:
            StudyChangedError: The stored study is another one; the message is a diff.
            StorageError: The database cannot be used.
        """
        compared = self._compared(plan, same_code=same_code)
        if compared is None:
            return plan.work
        _, newest, variance = compared
        return reconcile(plan, newest, retry_failed=retry_failed, label_variance=variance).seeds

    def _compared(self, plan: Plan, *, same_code: bool) -> tuple[dict[str, Any], Newest, float | None] | None:
        """Return a stored study's record, the newest trial of every combination, and the variance of the labels.

        None where it is not stored.
        """
        name, study = plan.study.name, plan.study
        with translated():
            if name not in self.studies():
                return None
            study_id = self._backend.get_study_id_from_name(name)
            record = self._record(study_id, name)
            if record is None:
                return None
            defined = plan.definition or definition(study, _data_digest(record))
            require_extension(study, record, defined)
            newest = _plain(_newest(of_version(defined, self._access.read_trials(study_id))))
            if not same_code:
                require_same_code(study, record, defined, newest.values())
            return record, newest, self._backend.get_study_user_attrs(study_id).get(VARIANCE)

    def describe_data(self, study: str, label_variance: float) -> None:
        """Keep with a study what predicting a constant gives, to judge its values by."""
        with translated():
            study_id = self._backend.get_study_id_from_name(study)
            self._backend.set_study_user_attr(study_id, VARIANCE, label_variance)

    def record_launch(self, study: str, lasted: LaunchTime) -> None:
        """Keep with a study how long a launch of it took."""
        with translated():
            study_id, attributes = self._stored(study)
            launches = [*attributes.get(LAUNCHES, ()), dataclasses.asdict(lasted)]
            self._backend.set_study_user_attr(study_id, LAUNCHES, launches)

    def newest(self, study: str) -> Newest:
        """Return the newest stored trial of every combination of a study's present definition.

        Raises:
            StorageError: There is no such study, or the database cannot be used.
        """
        with translated():
            study_id, attributes = self._stored(study)
            return _plain(_newest(of_version(attributes[RECORD]["definition"], self._access.read_trials(study_id))))

    def continued(
        self, plan: Plan, trial: Trial, seeds: tuple[int, ...], done: Mapping[int, ReplicateResult], supersedes: int
    ) -> OpenTrial:
        """Return a complete trial to be trained with further seeds; it is added when it is started."""
        with translated():
            study_id = self._backend.get_study_id_from_name(plan.study.name)
        version = version_attribute(plan.definition or {})
        added = waiting_trial(trial, done.values(), supersedes, _spaces(plan), version)
        return OpenTrial(0, supersedes, trial, done, instead=added, study_id=study_id, seeds=seeds)

    def record_race(self, study: str, race: Race) -> None:
        """Keep with a study how far the race for further seeds is, trials by their number."""
        with translated():
            self._backend.set_study_user_attr(self._backend.get_study_id_from_name(study), RACE, race_attribute(race))

    def start(self, trial: OpenTrial) -> OpenTrial:
        """Claim a trial: from WAITING to RUNNING. One that a lost launch left RUNNING is taken over.

        Returns:
            The trial; another one, added now, for one that was stopped and goes on. Where a connection is lost as that
            is committed, there may be two: the newer one counts.
        """
        with translated():
            if trial.instead is not None:
                [(trial_id, number)] = self._access.add_trials(trial.study_id, [trial.instead])
                trial = dataclasses.replace(trial, trial_id=trial_id, number=number, instead=None)
            self._access.update_trial(trial.trial_id, TrialUpdate(state=TrialState.RUNNING))
        return trial

    def record_curve(self, trial: OpenTrial, curve: Mapping[int, float]) -> None:
        """Write the intermediate values (epoch to the metric's mean over the seeds) that are new or changed."""
        new = self._new(trial, curve)
        if new:
            with translated():
                self._access.update_trial(trial.trial_id, TrialUpdate(curve=new))
            self._written.setdefault(trial.trial_id, {}).update(new)

    def record_replicate(self, trial: OpenTrial, result: ReplicateResult | PausedReplicate) -> None:
        """Write what one replicate came to; from then on it is not trained again. Or that it is at a rung."""
        with translated():
            self._access.update_trial(trial.trial_id, replicate_update(result))

    def finish(
        self, trial: OpenTrial, value: float | None, *, curve: Mapping[int, float], last: ReplicateResult | None = None
    ) -> None:
        """Finish a trial: COMPLETE with its value, or FAIL with None; with its whole curve and its last replicate."""
        with translated():
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            update = replicate_update(last) if last else TrialUpdate()
            update = dataclasses.replace(update, curve=self._new(trial, curve), state=state, value=value)
            self._access.update_trial(trial.trial_id, update)
        self._written.pop(trial.trial_id, None)

    def stop(self, trial: OpenTrial, stopped: StoppedAt, *, curve: Mapping[int, float]) -> None:
        """Write that a rung has stopped a trial: PRUNED, with where and why; what it trained is kept."""
        with translated():
            update = dataclasses.replace(stopped_update(stopped), curve=self._new(trial, curve))
            if self._stops_noted < MAX_NOTES:
                self._access.set_study_system_attributes(trial.study_id, stopped_note(trial.trial_id, stopped))
                self._stops_noted += 1
            self._access.update_trial(trial.trial_id, update)
        self._written.pop(trial.trial_id, None)

    def results(self, study: str) -> SweepResults:
        """Read everything about a study; of every combination the newest trial.

        Raises:
            StorageError: There is no such study, or the database cannot be used.
        """
        with translated():
            return self._read(study, *self._stored(study))[0]

    def overview(self, study: str) -> Overview:
        """Tell of a study, whoever made it, how far it is.

        Raises:
            StorageError: The database cannot be used, or has no such study any more.
        """
        with translated():
            try:
                study_id, attributes = self._stored(study)
            except StorageError as error:  # another program's, or one that is being created
                if study not in self.studies():
                    raise
                return Overview(study, None, None, str(error).partition(". ")[0])
            results, frozen = self._read(study, study_id, attributes)
            times = (trial.datetime_complete or trial.datetime_start for trial in frozen)
            return Overview(study, results, max(filter(None, times), default=None))

    def _read(self, study: str, study_id: int, attributes: Mapping[str, Any]) -> tuple[SweepResults, list[FrozenTrial]]:
        """Return what a study came to, and its trials as Optuna has them."""
        record = attributes[RECORD]
        frozen = of_version(record["definition"], self._access.read_trials(study_id))
        if self._tasks is None:
            raise ValueError("a storage that knows no tasks reads no results")
        kind = self._tasks(record["definition"])
        task = kind.of_definition(filled(kind, record["definition"]))
        newest = _newest(frozen)
        complete = {combination(t.params): t for t in frozen if t.state == TrialState.COMPLETE}
        # While a new seed is being added, or a trial continued, what was complete before is still the answer.
        shown = {key: trial if trial.state.is_finished() else complete.get(key, trial) for key, trial in newest.items()}
        trials = [trial_result(trial) for trial in sorted(shown.values(), key=lambda t: t.number)]
        results = SweepResults(
            study=study,
            digest=record["digest"],
            axes={name: tuple(values) for name, values in record["definition"]["search_space"].items()},
            seeds=tuple(record["seeds"]),
            trials=marked_alike(task, trials),
            metric=task.metric,
            label_variance=attributes.get(VARIANCE),
            over_seeds=record["definition"]["objective"]["over_seeds"],
            launches=tuple(LaunchTime(**lasted) for lasted in attributes.get(LAUNCHES, ())),
            race=_of_these(race_of(attributes.get(RACE)), trials),
            continued=sum(shown[key] is not trial for key, trial in newest.items()),
        )
        return results, frozen

    def require_same(self, study: Study, data_digest: str | None) -> str:
        """Make sure that a study file is the one that is stored, or an extension of it.

        Args:
            study: As the file has it now.
            data_digest: None where only reading the data would tell, or they are not there; then they are taken to be
                the same.

        Returns:
            The digest of the data.

        Raises:
            StudyChangedError: It is another one; the message is a diff.
            StorageError: There is no such study, or the database cannot be used.
        """
        with translated():
            record = self._stored(study.name)[1][RECORD]
        data_digest = data_digest or _data_digest(record)
        require_extension(study, record, definition(study, data_digest))
        return data_digest

    def count_trials(self, study: str) -> int:
        """Count a study's trials; a study of which a killed launch had stored only the name has none.

        Raises:
            StorageError: There is no such study, or it is another program's.
        """
        with translated():
            study_id = self._find(study, "Give the name of one of these")
            count = self._backend.get_n_trials(study_id)
            if count and RECORD not in self._backend.get_study_user_attrs(study_id):
                rule = f"the study {study!r} was not made by clustersweep"
                raise StorageError(f"{rule}. Remove it with the program that made it, or with `optuna delete-study`")
        return count

    def remove(self, study: str) -> None:
        """Remove a study with its trials, or nothing.

        Raises:
            StorageError: There is no such study, or the database cannot be used.
        """
        with translated():
            self._access.remove_study(self._find(study, "Give the name of one of these"))

    def close(self) -> None:
        """Give the connections back."""
        if isinstance(self._backend, RDBStorage):
            self._backend.remove_session()
            self._backend.engine.dispose()

    def _stored(self, study: str) -> tuple[int, dict[str, Any]]:
        """Find a study that clustersweep made: its identity and its attributes."""
        study_id = self._find(study, NOT_STORED_REMEDY)
        attributes = self._backend.get_study_user_attrs(study_id)
        if RECORD not in attributes:
            if not self._backend.get_n_trials(study_id):  # its name is written first, a moment before anything else
                rule = f"the study {study!r} is being created: only its name is in the database yet"
                raise StorageError(f"{rule}. Try again in a moment; where no launch of it runs, launch it")
            raise StorageError(f"the study {study!r} was not made by clustersweep. Give yours another name")
        return study_id, attributes

    def _find(self, study: str, remedy: str) -> int:
        try:
            return self._backend.get_study_id_from_name(study)
        except KeyError:
            known = ", ".join(self.studies()) or "none"
            text = f"there is no study {study!r} in {self._where} (stored: {known}). {remedy}"
            raise StorageError(text) from None

    def _study_id(self, plan: Plan, defined: dict[str, Any]) -> int:
        """Find the stored study and make sure that the plan continues it, or create it."""
        name = plan.study.name
        try:
            study_id = self._backend.get_study_id_from_name(name)
        except KeyError:
            direction = optuna.study.StudyDirection[plan.study.metric.direction.upper()]
            study_id = self._backend.create_new_study([direction], name)
            if plan.study.task.code is not None:  # as Optuna's `set_metric_names` has it, for the dashboard
                self._access.set_study_system_attributes(study_id, {METRIC_NAMES: [plan.study.metric.name]})
            return study_id
        record = self._record(study_id, name)
        if record is not None:
            require_extension(plan.study, record, defined)
        return study_id

    def _record_code(
        self, study_id: int, digest: str, defined: Mapping[str, Any], attributes: Mapping[str, Any], *, same_code: bool
    ) -> None:
        """Keep with a study of these attributes that it is launched with code of one's own, where that is new."""
        if attributes.get(RECORD, {}).get("code") == digest:
            return
        at = datetime.now(UTC).isoformat(timespec="seconds")
        one = {"digest": digest, **version_attribute(defined), "at": at, "same_code": same_code}
        self._backend.set_study_user_attr(study_id, CODES, [*attributes.get(CODES, ()), one])

    def _record_rule(self, study_id: int, plan: Plan) -> None:
        """Keep with a study by which rule trials are stopped from now on, where that is another one than before."""
        rule = plan.study.stop_early
        told = None if rule is None else {**dataclasses.asdict(rule), "rungs": list(plan.rungs)}
        before = self._backend.get_study_user_attrs(study_id).get(RULES, [])
        if told != (before[-1]["stop_early"] if before else None):
            at = datetime.now(UTC).isoformat(timespec="seconds")
            self._backend.set_study_user_attr(study_id, RULES, [*before, {"stop_early": told, "at": at}])

    def _record(self, study_id: int, name: str) -> dict[str, Any] | None:
        """Read a study's record; None where a launch was killed as it began, which left only the name."""
        record: dict[str, Any] | None = self._backend.get_study_user_attrs(study_id).get(RECORD)
        if record is None and self._backend.get_all_trials(study_id, deepcopy=False):
            raise StorageError(f"the study {name!r} in this database was not made by clustersweep. Choose another name")
        return record

    def _new(self, trial: OpenTrial, curve: Mapping[int, float]) -> dict[int, float]:
        """Return the part of a curve that this process has not written yet."""
        written = self._written.get(trial.trial_id, {})
        return {epoch: value for epoch, value in curve.items() if written.get(epoch) != value}


def _data_digest(record: Mapping[str, Any]) -> str:
    """Return the digest of the data that a stored study was trained on; empty where they are its function's own."""
    return str(record["definition"].get("data", {}).get("digest", ""))


def _of_these(race: Race | None, trials: Iterable[TrialResult]) -> Race | None:
    """Return a race whose trials are still there; None for one that a change of the study has overtaken."""
    complete = {trial.number for trial in trials if trial.value is not None}
    return race if race is not None and complete.issuperset(race.left) else None


def _spaces(plan: Plan) -> dict[str, BaseDistribution]:
    kinds = plan.study.kinds
    return {name: distribution(kinds[name], values) for name, values in plan.study.axes.items()}


def _newest(trials: Iterable[FrozenTrial]) -> dict[Any, FrozenTrial]:
    """Return the newest trial of every combination, of trials that come by number."""
    return {combination(trial.params): trial for trial in trials}


def _plain(newest: Mapping[Any, FrozenTrial]) -> Newest:
    return {key: trial_result(trial) for key, trial in newest.items()}


@contextlib.contextmanager
def _alone(engine: sqlalchemy.Engine) -> Iterator[None]:
    """Be the only one that makes Optuna's tables in this database."""
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(LOCK_TABLES))
        yield


def serve_dashboard(storage: Storage, host: str, port: int) -> None:
    """Serve the Optuna dashboard until it is interrupted.

    Raises:
        StorageError: The address cannot be listened on.
    """
    from optuna_dashboard import run_server  # takes over a second; only this verb needs it

    try:
        run_server(storage.backend, host=host, port=port)
    except OSError as error:
        raise StorageError(
            f"the dashboard cannot listen on {host}:{port}: {error.strerror}. Choose another --port"
        ) from None
