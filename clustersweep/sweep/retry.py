"""What a sweep does while its database is away: it waits, and tells so."""

import time
from collections.abc import Callable
from typing import Any

from clustersweep.errors import StorageAwayError
from clustersweep.sweep.events import Notice, StorageAway, StorageBack

# How long a sweep waits for a database that has gone, and how often it tries.
PATIENCE_S = 600.0
TRY_EVERY_S = 1.0


class Lasting:
    """Does what needs the database, and does it again when that has been away.

    What is done must change nothing where it was done already: a connection may be lost as it commits.

    Args:
        notify: Told when the database goes and when it is back.
        stop: Asked while it is away; when true, it is not waited for any longer.
        still_ours: Asked before anything is done again; raises when another launch has taken the study.
    """

    def __init__(
        self, notify: Callable[[Notice], None], stop: Callable[[], bool], still_ours: Callable[[], None]
    ) -> None:
        self._notify, self._stop, self._still_ours = notify, stop, still_ours
        self.waited_s = 0.0

    def __call__(self, action: Callable[..., None], *given: Any, **named: Any) -> None:
        """Do it.

        Raises:
            StorageAwayError: The database stays away too long, or we are asked to stop meanwhile.
            StudyLockedError: Another launch has taken the study meanwhile.
        """
        gone_at: float | None = None
        while True:
            try:
                if gone_at is not None:
                    self._still_ours()
                action(*given, **named)
                break
            except StorageAwayError as error:
                if gone_at is None:
                    gone_at = time.monotonic()
                    self._notify(StorageAway(str(error), PATIENCE_S))
                if self._stop() or time.monotonic() - gone_at > PATIENCE_S:
                    raise
                time.sleep(TRY_EVERY_S)
        if gone_at is not None:
            self.waited_s += time.monotonic() - gone_at
            self._notify(StorageBack(time.monotonic() - gone_at))
