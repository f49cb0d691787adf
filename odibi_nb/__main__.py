"""``python -m odibi_nb``: the command line, even if another package owns the command ``odibi``."""

import sys

from odibi_nb.cli import main

if __name__ == "__main__":
    sys.exit(main())
