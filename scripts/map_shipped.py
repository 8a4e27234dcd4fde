"""Make the data of the explorer for shipped models, of all test images; ONNX Runtime does it in minutes.

    python scripts/map_shipped.py mnist best

They are kept in `src/digitvae/models/NAME/explorer`, until the model changes.
"""

from __future__ import annotations

import sys

import digitvae
from digitvae.explorer.data import prepare

ALL = 10_000

if __name__ == "__main__":
    for name in sys.argv[1:]:
        prepare(digitvae.find_run(name), digitvae.load_onnx(name), ALL)
