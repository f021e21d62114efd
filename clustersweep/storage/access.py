"""How trials are read and written: through Optuna's tables where these are known, else through its public interface."""

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial

from clustersweep.storage.public import PublicAccess
from clustersweep.storage.records import TrialUpdate

_log = logging.getLogger(__name__)

# The series of Optuna whose tables are known: what its own methods write into them was compared with what is written
# here. Another one may mean other things by the same columns.
KNOWN_SERIES = "5.0"


class Access(Protocol):
    """What the storage asks beside what Optuna's interface does at once; both ways leave the same behind."""

    def add_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
        """Add trials to a study, waiting or finished, without intermediate values.

        Returns:
            Identity and number of each, in their order.

        Raises:
            KeyError: There is no such study any more.
        """

    def update_trial(self, trial_id: int, update: TrialUpdate) -> None:
        """Change a trial that is not finished.

        Raises:
            optuna.exceptions.UpdateFinishedTrialError: It is finished, and finished trials cannot be changed. One that
                is finished just so already is no error.
            KeyError: There is no such trial any more.
        """

    def read_trials(self, study_id: int) -> list[FrozenTrial]:
        """Read all trials of a study by number; intermediate values may be left out."""

    def set_study_system_attributes(self, study_id: int, attributes: Mapping[str, Any]) -> None:
        """Set several system attributes of a study."""

    def remove_study(self, study_id: int) -> None:
        """Remove a study with all that belongs to it, or nothing.

        Raises:
            KeyError: There is no such study any more.
        """


def access_to(backend: BaseStorage) -> Access:
    """Return the faster way that can be trusted; where that is the slower one for PostgreSQL, a warning says so."""
    if not isinstance(backend, RDBStorage) or backend.engine.name != "postgresql":
        return PublicAccess(backend)
    why = unknown_tables()
    if why:
        _warn(why)
        return PublicAccess(backend)
    from clustersweep.storage.tables import TableAccess  # not above: another Optuna may not have what it imports

    return TableAccess(backend)


def unknown_tables() -> str:
    """Return why the installed Optuna's tables are not to be written directly; nothing where they are known."""
    installed = optuna.__version__
    if installed.split(".")[:2] != KNOWN_SERIES.split("."):
        return f"clustersweep knows the tables of Optuna {KNOWN_SERIES}, and {installed} is installed"
    try:
        from clustersweep.storage.tables import other_columns
    except (ImportError, AttributeError) as error:
        return f"the tables of the installed Optuna {installed} are not where they are in {KNOWN_SERIES} ({error})"
    found = other_columns()
    return f"the installed Optuna {installed} has other tables than {KNOWN_SERIES}: {found}" if found else ""


@functools.cache  # once a process, however often it opens the database
def _warn(why: str) -> None:
    _log.warning(
        "%s: results are kept through its public interface, which is slower (some 0.1 s for every trial) and stores "
        "the same. Install optuna %s.* for the faster way",
        why,
        KNOWN_SERIES,
    )
