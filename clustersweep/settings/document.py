"""A YAML file as plain values that know their lines, and what is wrong with it as problems. Reads no file."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from clustersweep.errors import Problem

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Key = tuple[str | int, ...]

SHOWN = 60  # characters of a value that a message repeats
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Fault:
    """Something wrong at a key of a document; `Document.problems` turns it into a `Problem`.

    Attributes:
        line: Where, when that is not the key's own line.
        silent: Leave the value out of the message.
    """

    key: Key
    rule: str
    remedy: str
    line: int | None = None
    silent: bool = False


@dataclass(frozen=True)
class Document:
    """One YAML document.

    Attributes:
        name: The file, as the user gave it.
        value: Plain values; None where something was refused.
        faults: Everything that was refused.
        lines: Line of each key and list item, counted from 1.
        written: Each scalar as it stands in the file.
    """

    name: str
    value: Json = None
    faults: tuple[Fault, ...] = ()
    lines: Mapping[Key, int] = field(default_factory=dict)
    written: Mapping[Key, str] = field(default_factory=dict)

    def at(self, key: Key) -> Json:
        """Return the value at a key; None where there is none."""
        value = self.value
        for part in key:
            if isinstance(value, dict) and isinstance(part, str):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def problems(self, faults: Iterable[Fault] = ()) -> tuple[Problem, ...]:
        """Return the document's own faults and those that its reader found as problems, in the order of the lines.

        Of several faults at one place only the first is told: what is wrong there has one cause.
        """
        told: dict[tuple[Key, int], Fault] = {}
        refused = {fault.key for fault in self.faults if self.at(fault.key) is None}
        for fault in [*self.faults, *(f for f in faults if f.key not in refused)]:
            told.setdefault((fault.key, self._line(fault)), fault)
        return tuple(self._problem(fault) for fault in sorted(told.values(), key=self._line))

    def _problem(self, fault: Fault) -> Problem:
        line = self._line(fault)
        where = f"{self.name}:{line}" if line else self.name
        value = "" if fault.silent else self._shown(fault.key)
        return Problem(where, dotted(fault.key), value, fault.rule, fault.remedy)

    def _line(self, fault: Fault) -> int:
        """Return the line of a fault, for a missing key that of its section; 0 for the whole file."""
        if fault.line is not None:
            return fault.line
        key = fault.key
        while key not in self.lines and key:
            key = key[:-1]
        return self.lines.get(key, 0)

    def _shown(self, key: Key) -> str:
        value = self.at(key)
        if key and key in self.written:
            return shortened(self.written[key] or "null")
        if not key or value is None:
            return ""
        return shortened(json.dumps(value, ensure_ascii=False).replace('"', ""))


def dotted(key: Key) -> str:
    """Write a key as people do: `search_space.kernel_size[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in key)
    return text.removeprefix(".")


def shortened(text: str) -> str:
    """Return text fit for one line of a message: printable, not long, and without a URL's password."""
    text = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    scheme, is_url, rest = text.partition("://")
    if is_url and "@" in rest:
        text = f"{scheme}://***@{rest.rpartition('@')[2]}"
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
