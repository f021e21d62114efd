"""YAML documents: read with line numbers, checked all at once, every problem told in one go; knows no kind of file."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "check": ("Seeds", "UNIQUE", "checked"),
        "document": ("Fault", "Json", "Key", "UNPRINTABLE"),
        "reader": ("read_yaml",),
        "rules": ("is_number", "repeated", "section"),
        "vocabulary": ("Vocabulary",),
    },
)
