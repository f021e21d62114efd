"""The report of a sweep: slices, effects, learning curves and the table of results."""
