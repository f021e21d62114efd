"""What rules of settings files have in common. Reads plain values, not files."""

from collections.abc import Iterator
from typing import Any

from clustersweep.settings.document import Fault, Key


def repeated(key: Key, values: Any) -> Iterator[Fault]:
    """Find what a list has twice."""
    seen: set[Any] = set()
    for index, value in enumerate(values if isinstance(values, list) else []):
        if isinstance(value, str | int | float):
            if value in seen:
                yield Fault((*key, index), "is given twice", "Remove one of the two.")
            seen.add(value)


def section(value: Any, key: str) -> dict[str, Any]:
    """Return a section; an empty one where it is missing or none."""
    inside = value.get(key) if isinstance(value, dict) else None
    return inside if isinstance(inside, dict) else {}


def is_number(value: Any) -> bool:
    """Say whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
