"""What pydantic found wrong with a settings file, in words for the person who wrote it. Decides nothing."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clustersweep.settings.document import Document, Fault, Key
from clustersweep.settings.vocabulary import Vocabulary

# Rule and remedy of each kind of error that a schema can give; `{...}` are pydantic's own facts.
_WORDS: Mapping[str, tuple[str, str]] = {
    "int_type": ("must be a whole number", "Write a whole number, without quotes or decimal point."),
    "int_parsing": ("must be a whole number", "Write a whole number, without decimal point."),  # the key of a mapping
    "float_type": ("must be a number", "Write a number, without quotes."),
    "string_type": ("must be text", "Write it in quotes if it looks like something else."),
    "greater_than": ("must be greater than {gt}", "Write a larger number."),
    "greater_than_equal": ("must be at least {ge}", "Write {ge} or more."),
    "less_than": ("must be less than {lt}", "Write a smaller number."),
    "less_than_equal": ("must be at most {le}", "Write {le} or less."),
    "bool_type": ("must be true or false", "Write one of these."),
    "bool_parsing": ("must be true or false", "Write one of these."),
    "too_short": ("must have {min_length} values", "Write as many, or remove the key."),
    "too_long": ("must have {max_length} values", "Write as many, or remove the key."),
    "tuple_type": ("must be a list", "Write it as [a, b, c]."),
    "dataclass_type": ("must be a section with keys of its own", "Indent its keys below it, or remove it."),
    "dict_type": ("must be a section with keys of its own", "Indent its keys below it."),
}  # fmt: skip
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def faults_of(errors: Iterable[Mapping[str, Any]], document: Document, words: Vocabulary) -> Iterator[Fault]:
    """Translate pydantic's errors (the list that `ValidationError.errors()` gives) about a file of one kind."""
    found: dict[Key, list[Fault]] = {}
    for error in errors:
        key = _key(error["loc"], error["type"], document)
        if error["type"] != "too_short" or _is_short(document.at(key), error["ctx"]["min_length"]):
            found.setdefault(key, []).append(_fault(key, error, document, words))
    for key, faults in found.items():
        if len(faults) == 1:
            yield faults[0]
        else:  # a key that allows several types has an error for each
            rules = [fault.rule.removeprefix("must be ") for fault in faults]
            yield Fault(key, "must be " + " or ".join(rules), "Write one of these.")


def _is_short(value: Any, least: int) -> bool:
    """Say whether a list really lacks items: pydantic counts one that is wrong as missing."""
    return not isinstance(value, list) or len(value) < least


def _nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the one of some words that looks most like a misspelt one; None where none does."""
    return next(iter(difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=cutoff)), None)


def _key(location: tuple[str | int, ...], kind: str, document: Document) -> Key:
    """Return the place in the file: pydantic appends the names of the types that it tried."""
    while kind != "missing" and location and location not in document.lines:
        location = location[:-1]
    return location


def _plain(key: Key) -> str:
    """Write a key as the vocabulary does, which knows nothing of places in lists: `evidence.ties.trial`."""
    return ".".join(part for part in key if isinstance(part, str))


def _fault(key: Key, error: Mapping[str, Any], document: Document, words: Vocabulary) -> Fault:
    kind, facts = error["type"], {name: _number(value) for name, value in error.get("ctx", {}).items()}
    if kind in _UNKNOWN:
        return _unknown(key, words)
    if kind == "missing":
        return Fault(key, "is missing", f"Add `{key[-1]}:`. {words.keys[_plain(key)]}")
    if kind == "literal_error":
        return _choice(key, re.findall(r"'([^']*)'", facts["expected"]), document.at(key))
    if kind == "string_pattern_mismatch":
        return _name(key, str(document.at(key)))
    if not key:
        return Fault(key, "must be lines of the form `key: value`", words.begin)
    if kind == "tuple_type" and key[0] == "search_space" and len(key) == 2:
        section = words.axes.get(str(key[1]), "settings")
        return Fault(key, "must be a list", f"Write it as [a, b, c], or move the one value to `{section}`.")
    if kind == "too_short" and facts["min_length"] == "1":
        return Fault(key, "must have at least one value", "Write one, or remove the key.")
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


def _unknown(key: Key, words: Vocabulary) -> Fault:
    """Say where a key that the schema does not have may have been meant. Never repeats its value."""
    section, name = _plain(key[:-1]), str(key[-1])
    if section == "search_space":
        if name in words.siblings("network") + words.siblings("training"):
            rule = "holds a list, and an axis is a key that holds one number or word"
            return Fault(key, rule, "Remove it, and give it in its section.", silent=True)
        rule = "is no axis: those are the keys of `network` and `training` that hold one number or word"
    else:
        rule = f"is no key of `{section}`" if section else f"is no key of {words.file}"
    return Fault(key, rule, _meant(name, section, words), silent=True)


def _meant(name: str, section: str, words: Vocabulary) -> str:
    if "storage" in name.lower():
        return f"Remove it: storage is given by --storage or CLUSTERSWEEP_STORAGE, never in {words.file} file."
    here = words.siblings(section)
    homes = [f"`{parent}`" for parent in words.sections if name in words.siblings(parent)]
    if (guess := _nearest(name, here, cutoff=0.8)) or (not homes and (guess := _nearest(name, here))):
        return f"Did you mean `{guess}`?"
    if homes:
        return f"It is a key of {' and '.join(homes)}: move it there."
    if name in words.siblings(""):
        return "Move it to the left margin: it stands outside all sections."
    last = {key.rpartition(".")[2]: key for key in reversed(list(words.keys))}
    if guess := _nearest(name, last):
        return f"Did you mean `{last[guess]}`?"
    return f"Remove it; the keys here are {', '.join(here)}."
