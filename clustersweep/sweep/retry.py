"""What a sweep does while its database is away: it waits, and tells so."""

import time
from collections.abc import Callable
from typing import Any

from clustersweep.errors import StorageAwayError
from clustersweep.sweep.events import Notice, StorageAway, StorageBack
from clustersweep.sweep.timings import Clock, Timings


class Lasting:
    """Does what needs the database, and does it again when that has been away.

    What is done must change nothing where it was done already: a connection may be lost as it commits.

    Args:
        notify: Told when the database goes and when it is back.
        stop: Asked while it is away; when true, it is not waited for any longer.
        still_ours: Asked before anything is done again; raises when another launch has taken the study.
        timings: How long it is waited for, and how often it is tried.
        clock: By which.
    """

    def __init__(
        self,
        notify: Callable[[Notice], None],
        stop: Callable[[], bool],
        still_ours: Callable[[], None],
        *,
        timings: Timings = Timings(),
        clock: Clock = time,
    ) -> None:
        self._timings, self._clock = timings, clock
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
                    gone_at = self._clock.monotonic()
                    self._notify(StorageAway(str(error), self._timings.outage_patience_s))
                if self._stop() or self._clock.monotonic() - gone_at > self._timings.outage_patience_s:
                    raise
                self._clock.sleep(self._timings.try_every_s)
        if gone_at is not None:
            self.waited_s += self._clock.monotonic() - gone_at
            self._notify(StorageBack(self._clock.monotonic() - gone_at))
