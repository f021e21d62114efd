"""YAML documents: read with line numbers, checked all at once, every problem told in one go; knows no kind of file."""
