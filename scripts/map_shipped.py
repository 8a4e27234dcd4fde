"""Make the data of the explorer for shipped models, of all test images; ONNX Runtime does it in minutes.

    python scripts/map_shipped.py mnist grey

They are kept in `src/digitvae/models/NAME/explorer`, in place of those that are there.
"""

from __future__ import annotations

import shutil
import sys

import digitvae
from digitvae.explorer.data import FOLDER, prepare

ALL = 10_000

if __name__ == "__main__":
    for name in sys.argv[1:]:
        run = digitvae.find_run(name)
        shutil.rmtree(run.folder / FOLDER, ignore_errors=True)
        prepare(run, digitvae.load_onnx(name), ALL)
