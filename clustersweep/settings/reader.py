"""Reads a YAML file into a `Document`, refusing what a settings file never needs. Knows nothing of studies.

Scalars follow YAML 1.2's core schema: `1e-3` is a number, `no` a word, and nothing is a date.
"""

import math
import re
from pathlib import Path

import yaml

from clustersweep.settings.document import UNPRINTABLE, Document, Fault, Json, Key, shortened

MAX_BYTES = 100_000
MAX_DEPTH = 16
MAX_DIGITS = 18  # of an integer, so that it fits into 64 bits

_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_yaml(path: Path) -> Document:
    """Read a file; whatever is wrong with it is in the document's `faults`."""
    name = str(path)

    def unreadable(rule: str, remedy: str) -> Document:
        return Document(name, faults=(Fault((), rule, remedy),))

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return unreadable("there is no such file", "Check the path.")
    except IsADirectoryError:
        return unreadable("is a folder", "Name a file in it.")
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or error
        return unreadable(f"cannot be read: {reason}", "Check the path and its permissions.")
    if len(content) > MAX_BYTES:
        return unreadable("is larger than 100 kB", "Check the path: no settings file is.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        rule = f"must be UTF-8 text, and byte {error.start} is not"
        return unreadable(rule, "Save it with the encoding UTF-8.")
    return _Reader(name).read(text)


class _TooDeepError(Exception):
    """Reading further could exhaust the stack."""


class _Reader:
    """Builds a document from the parser's events, noting lines and faults on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[Fault] = []
        self.lines: dict[Key, int] = {}
        self.written: dict[Key, str] = {}

    def read(self, text: str) -> Document:
        value: Json = None
        try:
            self.events = yaml.parse(text, Loader=yaml.SafeLoader)
            self._advance(2)  # past the stream's start
            if isinstance(self.event, yaml.DocumentStartEvent):
                self._advance()
                value = self._node(())
                self._advance()  # past the document's end
            if not isinstance(self.event, yaml.StreamEndEvent):
                self._refuse((), "must hold one document", "Remove the second `---` and what follows it.")
        except _TooDeepError:
            pass
        except yaml.YAMLError as error:
            self.faults.append(_syntax_fault(error))
        except (ValueError, OverflowError):  # PyYAML hands an escape like "\UFFFFFFFF" to chr()
            self._refuse((), "must not have an escape that is no character", "Remove the `\\U` escape.")
        return Document(self.name, value, tuple(self.faults), self.lines, self.written)

    def _advance(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.event = next(self.events)
            self.line = self.event.start_mark.line + 1 if self.event.start_mark else 0

    def _refuse(self, key: Key, rule: str, remedy: str, *, silent: bool = False) -> None:
        self.faults.append(Fault(key, rule, remedy, self.line, silent))

    def _node(self, key: Key) -> Json:
        """Read the node at the current event, and go past it."""
        event = self.event
        self.lines.setdefault(key, self.line)
        if len(key) > MAX_DEPTH:
            self._refuse(key[:2], f"must not be nested deeper than {MAX_DEPTH} levels", "Flatten it.")
            raise _TooDeepError
        self._refuse_extras(key)
        value: Json = None  # of an alias, which is refused
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(key, event)
        self._advance()
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(key)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Json] = []
            while not isinstance(self.event, yaml.SequenceEndEvent):
                items.append(self._node((*key, len(items))))
            self._advance()
            return items
        return value

    def _mapping(self, key: Key) -> dict[str, Json]:
        values: dict[str, Json] = {}
        while not isinstance(self.event, yaml.MappingEndEvent):
            if not isinstance(self.event, yaml.ScalarEvent):
                self._refuse(key, "must have words as its keys", "Write plain words.", silent=True)
                self._node((*key, "?"))
                self._node((*key, "?"))
                continue
            self._refuse_extras(key)
            name = self.event.value
            child = (*key, name)
            if name in values:
                rule = f"is given twice, first on line {self.lines[child]}"
                self._refuse(child, rule, "Keep one of the two.", silent=True)
            self.lines.setdefault(child, self.line)
            self._advance()
            values.setdefault(name, self._node(child))
        self._advance()
        return values

    def _refuse_extras(self, key: Key) -> None:
        """Refuse aliases, anchors and tags: they can explode, or make objects, and no setting needs them."""
        anchor, tag = (shortened(getattr(self.event, mark, None) or "") for mark in ("anchor", "tag"))
        if isinstance(self.event, yaml.AliasEvent):
            self._refuse(key, f"must not use the alias `*{anchor}`", "Write the value itself.")
        elif anchor:
            self._refuse(key, f"must not use the anchor `&{anchor}`", f"Remove `&{anchor}`.")
        if tag:
            self._refuse(key, f"must not use the tag `{tag}`", "Write the plain value without it.")

    def _scalar(self, key: Key, event: yaml.ScalarEvent) -> Json:
        text, plain = str(event.value), event.implicit[0]
        self.written.setdefault(key, text if plain else f'"{text}"')
        if UNPRINTABLE.search(text):
            self._refuse(key, "must be printable text on one line", "Remove the control characters.")
        elif not plain:
            return text
        elif text in _WORDS:
            return _WORDS[text]
        elif _NOT_A_NUMBER.fullmatch(text):
            self._refuse(key, "must be a finite number", "Write the number itself.")
        elif _INTEGER.fullmatch(text):
            if len(text.lstrip("+-0")) <= MAX_DIGITS:
                return int(text)
            self._refuse(key, f"must have at most {MAX_DIGITS} digits", "Write a smaller number.")
        elif _FLOAT.fullmatch(text):
            number = float(text)
            vanished = number == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
            if not math.isinf(number) and not vanished:
                return number
            self._refuse(key, "must be a number that 64 bits can hold", "Write another number.")
        else:
            return text
        return None


def _syntax_fault(error: yaml.YAMLError) -> Fault:
    what, line = str(error).partition("\n")[0], None
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else None
    remedy = "Indent with spaces, not tabs." if "\\t" in what else "Correct it; after a colon comes a space."
    return Fault((), f"must be YAML: {what[:200]}", remedy, line)
