"""What the database's libraries raise, as StorageError with its cure."""

import contextlib
from collections.abc import Iterator

import optuna
import sqlalchemy.exc

from clustersweep.errors import StorageAwayError, StorageError, first_line

# PostgreSQL's code for a disk that is full.
_DISK_FULL = "53100"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what the database's libraries raise into StorageError; their texts may hold SQL, never a password."""
    try:
        yield
    except optuna.exceptions.UpdateFinishedTrialError:
        raise StorageError(
            "a trial was finished by somebody else while this launch trained it. Launch again: what is finished is kept"
        ) from None
    except KeyError as error:
        if "exist" not in str(error):
            raise
        raise StorageError(
            "the study, or a trial of it, is no longer in the database: it was deleted meanwhile. Launch again to "
            "train it anew"
        ) from None
    except RuntimeError as error:
        if "compatible" not in str(error):
            raise
        raise StorageError(
            "the database holds tables of another version of Optuna, which must not be mixed with this one. Use "
            "another database, or upgrade it with `optuna storage upgrade` once nobody uses the old version"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        told = getattr(cause, "orig", None)
        text = first_line(told or cause or error)
        if getattr(told, "pgcode", None) == _DISK_FULL:  # somebody may free some while it is waited for
            raise StorageAwayError(
                f"the disk of the database is full: {text}. Free some space there. What is finished is kept; launch "
                "again when there is room"
            ) from None
        # What the server or the connection is at fault for, not what was asked of it.
        lost = isinstance(cause, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)
        raise (StorageAwayError if lost else StorageError)(
            f"the database does not answer as it should: {text}. What is finished is kept; launch again when it is back"
        ) from None
