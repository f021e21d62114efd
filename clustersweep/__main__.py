"""`python -m clustersweep`, the same as `clustersweep`."""

from clustersweep.cli.main import main

main()
