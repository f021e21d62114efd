"""What docker-compose.yml says of its services, with its variables at their defaults."""

import re
import shlex
from typing import Any

import yaml
from places import ROOT


def services() -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    return document()["services"]


def document() -> dict[str, Any]:
    """Return the whole file."""
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", r"\2", (ROOT / "docker-compose.yml").read_text())
    return yaml.safe_load(text)


def command(service: str) -> list[str]:
    """Return what a service's container runs."""
    found = services()[service]
    words = found.get("command", [])
    return [*found.get("entrypoint", []), *(shlex.split(words) if isinstance(words, str) else words)]


def health_check(service: str) -> list[str]:
    """Return the command that finds a service healthy."""
    kind, *words = services()[service]["healthcheck"]["test"]
    return words if kind == "CMD" else ["sh", "-c", *words]


def environment(service: str) -> dict[str, str]:
    """Return a service's variables."""
    return {name: str(value) for name, value in services()[service].get("environment", {}).items()}
