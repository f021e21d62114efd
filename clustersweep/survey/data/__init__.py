"""Tables of the simulator, each with its source in README.md; the package reads them through `tables`."""
