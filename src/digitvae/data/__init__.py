"""Data: the embedded MNIST, readers for other data, splits and binarization.

Images are uint8 `(n, height, width)`, 0..255, at every public boundary. This package needs NumPy; Pillow
for image files; SciPy and scikit-image for photos.
"""

from __future__ import annotations

from digitvae.data.arrays import as_images
from digitvae.data.augmentation import distorted
from digitvae.data.binarization import draw_bits, fixed_bits
from digitvae.data.dataset import Dataset, load_dataset, read_images, read_part
from digitvae.data.photos import read_photo
from digitvae.data.pictures import read_inputs, read_pictures
from digitvae.data.splits import split_validation

__all__ = [
    "Dataset",
    "as_images",
    "distorted",
    "draw_bits",
    "fixed_bits",
    "load_dataset",
    "read_images",
    "read_inputs",
    "read_part",
    "read_photo",
    "read_pictures",
    "split_validation",
]
