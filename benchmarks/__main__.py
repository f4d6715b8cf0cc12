"""`make bench`: speed beside the peers, in one run. See `python -m benchmarks --help`."""

from benchmarks.inference import main

main()
