"""`python -m tubelet`: the command line."""

import sys

from tubelet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
