"""`python -m digitvae` is the command `digitvae`."""

import sys

from digitvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
