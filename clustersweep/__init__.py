"""Hyperparameter sweeps for small networks that weigh galaxy clusters, with the evidence kept."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def public_names(folder: str, modules: Mapping[str, Sequence[str]]) -> tuple[list[str], Callable[[str], Any]]:
    """Return a folder's `__all__` and `__getattr__`: a module is imported when one of its names is first asked for.

    A function that has its module's name is no name of the folder, which has the module under it.

    Args:
        folder: The folder's `__name__`.
        modules: Public names by the module that has them.
    """
    where = {name: module for module, names in modules.items() for name in names}

    def named(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {folder!r} has no attribute {name!r}")
        return getattr(import_module(f"{folder}.{where[name]}"), name)

    return list(where), named
