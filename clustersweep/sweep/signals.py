"""Ctrl-C, SIGTERM and a closed terminal: they interrupt, or are a question that long work asks of itself."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP all interrupt as Ctrl-C does, wherever the block is.

    What is ignored stays so, as SIGHUP is under `nohup`. Outside the main thread, signals are left alone.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Return a question that becomes true on Ctrl-C, SIGTERM or SIGHUP; a second one interrupts at once."""
    asked = threading.Event()

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    with _handled(ask):
        yield asked.is_set


@contextlib.contextmanager
def _handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: known for number, known in before.items() if known not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
