"""The words of settings files: what a kind of file is called, and what its keys mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Vocabulary:
    """What one kind of settings file is called, and what its keys mean.

    Attributes:
        file: What it is: `a study`.
        begin: What to do about an empty one.
        keys: Meaning of each key, dotted (`data.simulate.seed`); editors and messages show it.
        axes: Section of each key that may stand in `search_space`; empty where there is no such section.
    """

    file: str
    begin: str
    keys: Mapping[str, str]
    axes: Mapping[str, str] = field(default_factory=dict)

    def siblings(self, section: str) -> tuple[str, ...]:
        """Return the keys that a section may have; the file's own for ''."""
        if section == "search_space":
            return tuple(self.axes)
        prefix = f"{section}." if section else ""
        inside = (key.removeprefix(prefix) for key in self.keys if key.startswith(prefix))
        return tuple(key for key in inside if "." not in key)

    @property
    def sections(self) -> tuple[str, ...]:
        """The keys that have keys of their own."""
        return tuple(key for key in self.keys if key != "search_space" and self.siblings(key))

    def schema(self, found: dict[str, Any]) -> dict[str, Any]:
        """Turn pydantic's JSON Schema into the one for editors: in one piece, with the keys' meanings (draft 7)."""
        described = self._described(found, found["$defs"], "")
        title = f"clustersweep {self.file.partition(' ')[2]}"
        return {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, **described}

    def _described(self, schema: dict[str, Any], parts: dict[str, Any], prefix: str) -> dict[str, Any]:
        """Put referenced parts in place, and meanings instead of titles and docstrings."""
        if "$ref" in schema:
            schema = schema | parts[schema["$ref"].rpartition("/")[2]]
        left_out = {"$ref", "$defs", "title", "description", "default" if "properties" in schema else ""}
        result = {key: value for key, value in schema.items() if key not in left_out}
        if "anyOf" in schema:
            result["anyOf"] = [self._described(option, parts, prefix) for option in schema["anyOf"]]
        if "items" in schema:
            result["items"] = self._described(schema["items"], parts, prefix)
        if "properties" in schema:
            result["properties"] = {}
            for name, inner in schema["properties"].items():
                key = f"{self.axes[name]}.{name}" if prefix == "search_space." else f"{prefix}{name}"
                text = {"description": self.keys[key]}
                result["properties"][name] = text | self._described(inner, parts, f"{prefix}{name}.")
        return result
