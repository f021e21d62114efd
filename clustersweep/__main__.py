"""`python -m clustersweep`, the same as `clustersweep`."""

from clustersweep.cli import main

main()
