"""Counts in words. Pure."""


def counted(number: int, one: str, several: str = "") -> str:
    """Return `1 seed` or `3 seeds`; `several` is what more than one are called where an s at the end will not do."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
