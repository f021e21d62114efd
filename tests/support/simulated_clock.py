"""A clock that stands still until somebody sleeps by it."""


class SimulatedClock:
    """See `sweep.timings.Clock`."""

    def __init__(self, step_s=0.0):
        self.now = 0.0
        self._step_s = step_s  # passes whenever it is looked at

    def monotonic(self):
        self.now += self._step_s
        return self.now

    def sleep(self, seconds):
        self.now += seconds
