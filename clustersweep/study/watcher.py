"""Who listens to a task that takes long: what a launch and a training tell alike. No more than an interface."""

from contextlib import AbstractContextManager
from typing import Protocol


class Watcher(Protocol):
    """Whoever shows a person how a task goes on."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """Show that something that may take a while has begun, and when it is done."""

    def made(self, done: int, total: int) -> None:
        """Show how much of the data is made, where they are not there yet."""

    def end(self) -> None:
        """Stop showing progress."""
