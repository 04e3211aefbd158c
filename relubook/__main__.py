"""`python -m relubook` is the command `relubook`."""

import sys

from relubook.grading.cli import main

if __name__ == "__main__":
    sys.exit(main())
