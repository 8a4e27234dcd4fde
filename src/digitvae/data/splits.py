"""The split of images into training, validation and test sets."""

from __future__ import annotations

import numpy as np

from digitvae.data.arrays import Images, Labels, Part

_TEST_SHARE = 7  # one in seven, like 10,000 of MNIST's 70,000
_SEED = 777  # fixed: all runs on all machines use the same split
_VALIDATION_SIZE = 5_000  # of 60,000: the usual split of MNIST
_VALIDATION_SHARE = 12  # the same share of smaller sets


def split_validation(images: Images, labels: Labels | None, size: int | None = None) -> tuple[Part, Part]:
    """Hold out the last images for validation.

    Args:
        images: `(n, height, width)`.
        labels: `(n,)` or None.
        size: number of images held out; by default 5,000, or one twelfth of fewer than 60,000 images.

    Returns:
        `(train_images, train_labels), (validation_images, validation_labels)`, views of the arguments.

    Raises:
        ValueError: if the size is not in 1..n-1, or there is not one label for each image.
    """
    count = len(images)
    if labels is not None and len(labels) != count:
        raise ValueError(
            f"Expected one label for each of {count} images. Received: labels of length {len(labels)}"
        )
    if size is None:
        usual = _VALIDATION_SIZE * _VALIDATION_SHARE
        size = _VALIDATION_SIZE if count >= usual else max(1, count // _VALIDATION_SHARE)
    if not isinstance(size, (int, np.integer)) or not 1 <= size < count:
        raise ValueError(
            f"Expected a validation size from 1 to {count - 1} of {count} images. Received: size={size}"
        )
    part, cut = Part(images, labels), count - int(size)
    return part.take(slice(cut)), part.take(slice(cut, None))


def hold_out_test(part: Part) -> tuple[Part, Part]:
    """Hold out one image in seven for testing, always the same ones for a given number of images.

    Args:
        part: the images, at least 2, and their labels.

    Returns:
        Training and test part, each in the original order.
    """
    count = len(part.images)
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng(_SEED).permutation(count)[: max(1, count // _TEST_SHARE)]] = True
    return part.take(~chosen), part.take(chosen)


def mix_labels(part: Part) -> Part:
    """Shuffle images that are sorted by label, always in the same way; leave others unchanged.

    Otherwise the validation images, the last ones, would have only the last labels.
    """
    labels = part.labels
    if labels is None or labels[0] == labels[-1] or (np.diff(labels) < 0).any():
        return part
    return part.take(np.random.default_rng(_SEED).permutation(len(labels)))
