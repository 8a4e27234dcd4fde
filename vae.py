"""Train a variational autoencoder on MNIST for ten epochs and show new digits.

    python vae.py                      # about twelve minutes on two cores, six if they have bfloat16
    python vae.py --latent-dim 2       # the classic two-dimensional manifold
    python vae.py --help               # everything else

This is the command `digitvae train`; its steps are in `work` in src/digitvae/cli/train.py.
"""

import sys

from digitvae.cli import run_script

if __name__ == "__main__":
    sys.exit(run_script())
