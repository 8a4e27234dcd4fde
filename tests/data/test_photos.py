"""Photos of digits: real digits of MNIST on synthetic paper, and back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from digitvae.data.photos import read_photo

Resampling = Image.Resampling
KINDS = ("shadow", "squared", "chalk", "marker", "rotated", "transparent", "white on transparent")


def photograph(digit, kind, seed):
    """Write a digit as a PNG or JPEG of 300 to 2000 pixels, and return its bytes.

    shadow: blue ink on cream paper with grain, light from one side, the soft shadow of a hand.
    squared: pencil on squared paper. chalk: yellow on a grained board. marker: red on green of the same luma.
    rotated: as a camera writes it that was held upright. transparent: strokes alone.
    """
    rng = np.random.default_rng(seed)
    height, width = rng.integers(300, 800, 2) if seed % 10 else rng.integers(1500, 2001, 2)
    side = int(rng.uniform(0.45, 1) * min(height, width))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    ink = np.zeros((height, width))
    enlarged = Image.fromarray(digit).resize((side, side), Resampling.BICUBIC)
    ink[top : top + side, left : left + side] = np.asarray(enlarged) / 255
    rows, columns = np.mgrid[:height, :width] / min(height, width)
    grain = gaussian_filter(rng.normal(0, 6, ink.shape), 0.7) + rng.normal(0, 3, ink.shape)
    if "transparent" in kind:
        pixels = np.full((height, width, 4), 255 if "white" in kind else 0, np.uint8)
        pixels[..., 3] = np.rint(255 * ink)
        return _encoded(Image.fromarray(pixels), "PNG")
    pen, ground = {
        "shadow": ((30, 40, 120), (244, 236, 214)),
        "squared": ((95, 95, 95), (235, 235, 235)),
        "chalk": ((235, 225, 150), (40, 70, 55)),
        "marker": ((205, 60, 60), (60, 135, 60)),
        "rotated": ((20, 20, 20), (225, 225, 220)),
    }[kind]
    light = np.ones_like(ink)
    paper = np.ones((*ink.shape, 1)) * ground
    if kind == "squared":
        step = max(8, min(height, width) // 16)
        lines = (np.arange(height)[:, None] % step < 2) | (np.arange(width) % step < 2)
        paper[lines] = (190, 200, 225)
    if kind == "shadow":
        angle = rng.uniform(0, 2 * np.pi)
        slope = np.cos(angle) * rows + np.sin(angle) * columns
        light = 1 - 0.45 * (slope - slope.min()) / np.ptp(slope)
        edge = np.sin(angle) * (rows - rows.mean()) - np.cos(angle) * (columns - columns.mean())
        light *= 1 - 0.35 / (1 + np.exp(-(edge + rng.uniform(-0.3, 0.3)) / 0.02))
    colours = (paper * (1 - ink[..., None]) + np.array(pen) * ink[..., None]) * light[..., None]
    image = Image.fromarray(np.clip(colours + grain[..., None], 0, 255).astype(np.uint8))
    if kind != "rotated":
        return _encoded(image, "JPEG", quality=int(rng.integers(25, 90)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return _encoded(image.rotate(90, expand=True), "JPEG", quality=80, exif=exif)


def _encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _decode(content):
    return read_photo(Image.open(io.BytesIO(content)))


def _similarity(image, original):
    """Correlation of grey levels, at the best of nine shifts by a pixel: centres of mass are rounded."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return max(np.corrcoef(np.roll(image, shift, (0, 1)).ravel(), original.ravel())[0, 1] for shift in shifts)


@pytest.mark.parametrize("kind", KINDS)
def test_photos_of_digits_become_these_digits(mnist, kind):
    rows = range(7, 10_000, 999)
    images = [_decode(photograph(mnist.test_images[row], kind, row)) for row in rows]
    assert all(image.shape == (28, 28) and image.dtype == np.uint8 for image in images)
    similar = [_similarity(image, mnist.test_images[row]) for image, row in zip(images, rows, strict=True)]
    assert np.mean(similar) > 0.9
    assert min(similar) > 0.5


@pytest.mark.slow
def test_the_shipped_classifier_reads_photos(mnist):
    from digitvae.classifier import load_classifier

    rows = np.arange(0, 10_000, 500)
    images = np.stack(
        [_decode(photograph(mnist.test_images[row], kind, row)) for kind in KINDS for row in rows]
    )
    _, probabilities = load_classifier().features_and_probabilities(images)
    right = (probabilities.argmax(1) == np.tile(mnist.test_labels[rows], len(KINDS))).reshape(len(KINDS), -1)
    print(dict(zip(KINDS, right.mean(1).round(4), strict=True)), right.mean())
    assert right.mean() >= 0.97


@pytest.mark.parametrize(("size", "way"), [(28, "NEAREST"), (280, "NEAREST"), (300, "BICUBIC")])
@pytest.mark.parametrize("invert", [False, True])
def test_enlarged_digits_come_back(mnist, size, way, invert):
    originals = mnist.test_images[:40]
    digits = [Image.fromarray(255 - digit if invert else digit) for digit in originals]
    images = np.stack([read_photo(digit.resize((size, size), Resampling[way])) for digit in digits])
    similar = np.array([_similarity(*pair) for pair in zip(images, originals, strict=True)])
    assert similar.mean() > 0.975
    assert similar.min() > 0.85
    differences = np.abs(images.astype(int) - originals).mean((1, 2))
    print(size, way, differences.mean(), np.median(differences), similar.mean())
    assert np.median(differences) < (1 if way == "NEAREST" else 7)


def _shape(image_shape=(300, 300), ground=255):
    """A seven, drawn with a broad pen."""
    image = np.full(image_shape, ground, np.uint8)
    image[60:85, 90:210] = 255 - ground
    for row in range(85, 260):
        left = 185 - (row - 85) // 2
        image[row, left : left + 25] = 255 - ground
    return image


@pytest.mark.parametrize("image_shape", [(8, 8), (28, 28), (33, 47), (47, 33), (128, 128)])
def test_the_digit_fits_the_box_and_its_mass_is_in_the_middle(image_shape):
    image = read_photo(_shape(), image_shape)
    assert image.shape == image_shape
    assert (image.min(), image.max()) == (0, 255)
    extents = [np.ptp(np.flatnonzero(image.any(1 - axis))) + 1 for axis in (0, 1)]
    boxes = [round(20 / 28 * side) for side in image_shape]
    assert any(extent in (box - 1, box) for extent, box in zip(extents, boxes, strict=True))
    assert all(extent <= box for extent, box in zip(extents, boxes, strict=True))
    for axis, side in enumerate(image_shape):
        profile = image.sum(1 - axis)
        assert (side - 1) / 2 - 0.1 <= profile @ np.arange(side) / profile.sum() <= (side + 1) / 2 + 0.1


def test_mnist_is_centred_by_the_same_rule(mnist):
    for axis in (1, 2):
        profiles = mnist.test_images.sum(3 - axis, dtype=np.int64)
        centres = profiles @ np.arange(28) / profiles.sum(1)
        assert 13.5 <= centres.min() < centres.max() < 14.5


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_every_mode_of_pillow_gives_the_same(mode):
    assert np.array_equal(read_photo(Image.fromarray(_shape()).convert(mode)), read_photo(_shape()))


def test_dark_and_light_strokes_give_the_same():
    assert np.array_equal(read_photo(_shape(ground=0)), read_photo(_shape(ground=255)))


def test_sixteen_bits_are_scaled():
    levels = _shape().astype(np.uint16) * 40 + 20_000
    assert np.array_equal(read_photo(Image.fromarray(levels)), read_photo(_shape()))


def test_paths_images_and_arrays_give_the_same(tmp_path):
    Image.fromarray(_shape()).save(tmp_path / "seven.png")
    for photo in (tmp_path / "seven.png", str(tmp_path / "seven.png"), Image.fromarray(_shape())):
        assert np.array_equal(read_photo(photo), read_photo(_shape()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_rotation_of_the_camera_is_undone(tmp_path, orientation):
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(_shape())
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(turned[orientation]) if orientation > 1 else image
    stored.save(tmp_path / "seven.png", exif=exif)
    assert np.array_equal(read_photo(tmp_path / "seven.png"), read_photo(image))


@pytest.mark.parametrize(
    "where",
    [np.s_[120:123, 120:123], np.s_[100:103, 230:233], np.s_[240:246, :80], np.s_[:, :12]],
    ids=["speck", "speck outside", "end of a stroke", "edge of the table"],
)
def test_specks_and_what_reaches_in_from_the_border_are_left_out(where):
    dirty = _shape()
    dirty[where] = 0
    assert np.array_equal(read_photo(dirty), read_photo(_shape()))


def test_what_is_far_from_the_digit_is_left_out():
    dirty = _shape((300, 600))
    dirty[100:180, 500:520] = 0
    assert np.array_equal(read_photo(dirty), read_photo(_shape((300, 600))))


def test_ink_in_a_deep_shadow_is_as_dark_as_elsewhere():
    shadow = np.rint(0.8 * _shape() + 20).astype(np.uint8)
    shadow[:, :150] = shadow[:, :150] * 0.3
    assert np.corrcoef(read_photo(shadow).ravel(), read_photo(_shape()).ravel())[0, 1] > 0.95


def test_a_digit_that_touches_the_border_is_taken():
    tight = _shape()[60:260, 90:210]
    assert np.corrcoef(read_photo(tight).ravel(), read_photo(_shape()).ravel())[0, 1] > 0.95


def test_parts_of_a_digit_stay_together():
    broken = _shape()
    broken[85:95] = 255  # the bar is apart from the stem
    assert np.corrcoef(read_photo(broken).ravel(), read_photo(_shape()).ravel())[0, 1] > 0.9


def test_thin_pens_become_as_wide_as_in_mnist():
    drawing = Image.new("L", (900, 900), 255)
    ImageDraw.Draw(drawing).line([(200, 200), (700, 200), (400, 700)], fill=0, width=4)
    length = (500 + np.hypot(300, 500)) * 20 / 500
    assert read_photo(drawing).sum() / 255 > 1.2 * length


@pytest.mark.parametrize("shape", [(40, 6000), (6000, 40), (12, 12), (2000, 1400)])
def test_any_size_will_do(shape):
    picture = np.full(shape, 230, np.uint8)
    rows, columns = (np.s_[side // 2 - min(shape) // 4 : side // 2 + min(shape) // 4] for side in shape)
    picture[rows, columns] = 20
    picture[rows, columns][2:-2, 2:-2] = 230
    image = read_photo(picture)
    assert image.max() == 255
    assert (np.count_nonzero(image.any(1)), np.count_nonzero(image.any(0))) == (20, 20)


def _slope():
    light = np.tile(np.linspace(80, 250, 600), (500, 1))
    light[:, :200] *= 0.6
    return np.clip(light + np.random.default_rng(0).normal(0, 4, light.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1), np.uint8),
        np.full((1, 300), 255, np.uint8),
        np.full((500, 400, 3), 230, np.uint8),
        np.zeros((300, 300, 4), np.uint8),
        np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8),
        np.random.default_rng(0).integers(0, 256, (700, 700), np.uint8),
        np.random.default_rng(0).normal(200, 10, (300, 300, 3)).astype(np.uint8),
        _slope(),
    ],
    ids=["pixel", "line", "blank", "transparent", "noise", "large noise", "grain", "light alone"],
)
def test_pictures_without_strokes_are_refused(picture, tmp_path, refused):
    with refused(ValueError, "strokes that stand out", "picture, which shows none"):
        read_photo(picture)
    Image.fromarray(picture).save(tmp_path / "blank.png")
    with refused(ValueError, "strokes that stand out", tmp_path / "blank.png"):
        read_photo(tmp_path / "blank.png")


@pytest.mark.parametrize("cut", [0, 20, 700])
def test_damaged_files_are_refused(tmp_path, cut, refused):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photograph(_shape()[::10, ::10], "chalk", 1)[:cut])
    with refused(ValueError, "readable image file", path):
        read_photo(path)


def test_missing_files_and_wrong_sizes_are_refused(tmp_path, refused):
    with pytest.raises(FileNotFoundError):
        read_photo(tmp_path / "none.png")
    with refused(ValueError, "8x8 to 128x128", "(7, 28)"):
        read_photo(_shape(), (7, 28))


@pytest.mark.parametrize(("side", "what"), [(10_001, "at most 100,000,000 pixels"), (14_000, "less memory")])
def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path, side, what, refused, little_memory):
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with little_memory(), refused(ValueError, what, tmp_path / "bomb.png"):
        read_photo(tmp_path / "bomb.png")
