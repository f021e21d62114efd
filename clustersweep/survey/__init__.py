"""The data wing: the data set, its formats, its split and the simulator. Knows nothing of the sweep."""
