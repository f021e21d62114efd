"""What pydantic found wrong with a study file, in words for the person who wrote it. Decides nothing."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clustersweep.study_keys import AXES, KEYS, siblings
from clustersweep.yaml_lines import Document, Fault, Key

# Rule and remedy of each kind of error that the schema can give; `{...}` are pydantic's own facts.
_WORDS: Mapping[str, tuple[str, str]] = {
    "int_type": ("must be a whole number", "Write a whole number, without quotes or decimal point."),
    "float_type": ("must be a number", "Write a number, without quotes."),
    "string_type": ("must be text", "Write it in quotes if it looks like something else."),
    "greater_than": ("must be greater than {gt}", "Write a larger number."),
    "greater_than_equal": ("must be at least {ge}", "Write {ge} or more."),
    "less_than": ("must be less than {lt}", "Write a smaller number."),
    "less_than_equal": ("must be at most {le}", "Write {le} or less."),
    "too_short": ("must have at least one value", "Write one, or remove the key."),
    "tuple_type": ("must be a list", "Write it as [a, b, c]."),
    "dataclass_type": ("must be a section with keys of its own", "Indent its keys below it, or remove it."),
    "dict_type": ("must be a section with keys of its own", "Indent its keys below it."),
}  # fmt: skip
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def faults_of(errors: Iterable[Mapping[str, Any]], document: Document) -> Iterator[Fault]:
    """Translate pydantic's errors (the list that `ValidationError.errors()` gives)."""
    found: dict[Key, list[Fault]] = {}
    for error in errors:
        key = _key(error["loc"], error["type"], document)
        # An item that is wrong makes pydantic count it as missing; an empty list really is.
        if error["type"] != "too_short" or not document.at(key):
            found.setdefault(key, []).append(_fault(key, error, document))
    for key, faults in found.items():
        if len(faults) == 1:
            yield faults[0]
        else:  # a key that allows several types has an error for each
            rules = [fault.rule.removeprefix("must be ") for fault in faults]
            yield Fault(key, "must be " + " or ".join(rules), "Write one of these.")


def _nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Give the one of some words that looks most like a misspelt one; None where none does."""
    return next(iter(difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=cutoff)), None)


def _key(location: tuple[str | int, ...], kind: str, document: Document) -> Key:
    """Give the place in the file: pydantic appends the names of the types that it tried."""
    while kind != "missing" and location and location not in document.lines:
        location = location[:-1]
    return location


def _fault(key: Key, error: Mapping[str, Any], document: Document) -> Fault:
    kind, facts = error["type"], {name: _number(value) for name, value in error.get("ctx", {}).items()}
    if kind in _UNKNOWN:
        return _unknown(key)
    if kind == "missing":
        return Fault(key, "is missing", f"Add `{key[-1]}:`. {KEYS['.'.join(map(str, key))]}")
    if kind == "literal_error":
        return _choice(key, re.findall(r"'([^']*)'", facts["expected"]), document.at(key))
    if kind == "string_pattern_mismatch":
        return _name(key, str(document.at(key)))
    if not key:
        return Fault(key, "must be lines of the form `key: value`", "Begin with `study: a-name`.")
    if kind == "tuple_type" and key[0] == "search_space" and len(key) == 2:
        section = AXES[str(key[1])].section
        return Fault(key, "must be a list", f"Write it as [a, b, c], or move the one value to `{section}`.")
    if kind not in _WORDS:
        return Fault(key, error["msg"], "Correct it.")
    rule, remedy = _WORDS[kind]
    return Fault(key, rule.format(**facts), remedy.format(**facts))


def _number(fact: Any) -> str:
    return f"{fact:g}" if isinstance(fact, float) and abs(fact) < 1e6 else str(fact)


def _choice(key: Key, choices: list[str], found: Any) -> Fault:
    rule = f"must be {' or '.join(choices) if len(choices) < 3 else 'one of ' + ', '.join(choices)}"
    guess = _nearest(str(found), choices) or (choices[0] if len(choices) == 1 else None)
    return Fault(key, rule, f"Write {guess}." if guess else "Write one of these.")


def _name(key: Key, found: str) -> Fault:
    if "/" in found or "\\" in found:
        return Fault(key, "must be a name, not a path", "Leave out the folders and every slash.")
    rule = "must be 1 to 100 letters, digits, '.', '_' and '-', and begin with neither '.' nor '-'"
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", found).strip("-.")[:100]
    return Fault(key, rule, f"Write {safe}." if safe else "Write such a name.")


def _unknown(key: Key) -> Fault:
    """Say where a key that the schema does not have may have been meant. Never repeats its value."""
    section, name = ".".join(str(part) for part in key[:-1]), str(key[-1])
    here = siblings(section)
    if section == "search_space":
        if name in siblings("network") + siblings("training"):
            rule = "holds a list, and an axis is a key that holds one number or word"
            return Fault(key, rule, "Remove it, and give it in its section.", silent=True)
        rule = "is no axis: those are the keys of `network` and `training` that hold one number or word"
    else:
        rule = f"is no key of `{section}`" if section else "is no key of a study"
    return Fault(key, rule, _meant(name, section, here), silent=True)


def _meant(name: str, section: str, here: tuple[str, ...]) -> str:
    if "storage" in name.lower():
        return "Remove it: storage is given by --storage or CLUSTERSWEEP_STORAGE, never in a study file."
    homes = [f"`{parent}`" for parent in _sections() if name in siblings(parent)]
    if (guess := _nearest(name, here, cutoff=0.8)) or (not homes and (guess := _nearest(name, here))):
        return f"Did you mean `{guess}`?"
    if homes:
        return f"It is a key of {' and '.join(homes)}: move it there."
    if name in siblings(""):
        return "Move it to the left margin: it stands outside all sections."
    last = {key.rpartition(".")[2]: key for key in reversed(list(KEYS))}
    if guess := _nearest(name, last):
        return f"Did you mean `{last[guess]}`?"
    return f"Remove it; the keys here are {', '.join(here)}."


def _sections() -> list[str]:
    return [key for key in KEYS if key != "search_space" and siblings(key)]
