"""Archives: every image comes back; damage is named; what is whole can be got out."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from digitvae.codec import ArchiveReader, CodecModel, compress, decompress, suited, write
from digitvae.codec.container import STORED, Block, Damaged, Header, Writer
from digitvae.codec.shards import decoded, encoded


def black(images):
    return np.where(images > 127, 255, 0).astype("uint8")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("architecture", ["conv", "dense"])
@pytest.mark.parametrize("prior", ["autoregressive", "mixture", "normal"])
def test_every_kind_of_model_gives_images_back(make_codec, some, architecture, prior, precision):
    model = make_codec(
        likelihood="discretised_logistic",
        architecture=architecture,
        prior=prior,
        precision=precision,
        steps=8,
    )[1]
    assert_coded(model, some)


def assert_coded(model, images):
    """The model itself gives the images back, whether zlib would be shorter or not."""
    assert model.takes(images)
    kept, content, _ = encoded(model, images)
    np.testing.assert_array_equal(decoded(model, len(images), kept, content), images)


@pytest.mark.parametrize("count", [0, 1, 2, 37])
def test_grey_images_come_back(grey, some, count):
    images = np.resize(some, (count, 9, 13))
    np.testing.assert_array_equal(decompress(compress(images, grey), grey), images)


def test_bits_come_back_in_few_bytes(bits, blobs):
    drawn = np.random.default_rng(0).random((200, 9, 13)) < blobs(200, seed=9) / 255
    images = (255 * drawn).astype("uint8")
    file = io.BytesIO()
    done = write(file, [images], bits)
    assert done[:4] == (200, 200 * 9 * 13, len(file.getvalue()), 200)
    assert done.size < len(zlib.compress(images.tobytes(), 9))
    np.testing.assert_array_equal(decompress(file.getvalue(), bits), images)


def test_the_shipped_model_is_chosen_by_the_pixels(monkeypatch, tmp_path, bits, grey, some):
    monkeypatch.setattr("digitvae.codec.SHIPPED", tmp_path)
    for model in (bits, grey):
        name = "bits" if model is bits else "grey"
        (tmp_path / name).mkdir()
        named = CodecModel({**model.meta, "name": name}, model.arrays)
        (tmp_path / name / "codec.npz").write_bytes(named.to_bytes())
    for images, model in [(some, grey), (black(some), bits), (some[:0], bits)]:
        content = compress(images)
        assert reader(content, model).header.digest == model.digest
        np.testing.assert_array_equal(decompress(content), images)
    # Images are read up to the first one that decides.
    parts = iter([black(some), some, black(some)])
    assert suited(parts).name == "grey"
    assert len(list(parts)) == 1


def test_images_that_a_model_does_not_take_are_stored(bits, grey, some):
    for model, images in [(bits, some), (grey, np.zeros((3, 10, 10), "uint8")), (bits, black(some)[:, 1:])]:
        np.testing.assert_array_equal(decompress(compress(images, model), model), images)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays.arrays(
        "uint8",
        st.tuples(st.integers(1, 5), st.just(9), st.just(13)),
        elements=st.one_of(st.integers(0, 255), st.sampled_from([0, 255])),
    )
)
def test_any_images_come_back(grey, bits, images):
    assert_coded(grey, images)
    assert_coded(bits, black(images))
    np.testing.assert_array_equal(decompress(compress(images, bits), bits), images)


@pytest.fixture(scope="module")
def coded():
    """Let zlib not shrink: the blobs of these tests are so alike that it beats tiny models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitvae.codec.archive._ZLIB_LEVEL", 0)
        yield


@pytest.fixture(scope="module")
def several(coded, grey, blobs):
    """Images of three shards, and their archive."""
    images = blobs(2300, seed=4)
    file = io.BytesIO()
    assert write(file, [images], grey).coded == len(images)
    return images, file.getvalue()


def reader(content, model, **options):
    return ArchiveReader(io.BytesIO(content), lambda *_: model, **options)


def test_shards_are_independent_of_threads_and_of_how_images_come(several, grey):
    images, content = several
    assert compress(images, grey, workers=1) == content
    file = io.BytesIO()
    write(file, np.array_split(images, 17), grey)
    assert file.getvalue() == content


def test_a_range_is_read_alone(several, grey):
    images, content = several
    for start, stop in [(0, 3), (999, 1001), (1500, 1500), (2299, 2300), (0, 2300), (2200, 9999)]:
        parts = [np.empty((0, 9, 13), "uint8"), *reader(content, grey).read(start, stop)]
        np.testing.assert_array_equal(np.concatenate(parts), images[start:stop])


def test_names_and_other_files_come_back(grey, some):
    file = io.BytesIO()
    names, others = {"names": ["ä", "b"], "labels": [1, 2]}, [("x/y.txt", b"text"), ("empty", b"")]
    write(file, [some], grey, names, others)
    found = reader(file.getvalue(), grey)
    assert (found.names, list(found.files())) == (names, others)
    np.testing.assert_array_equal(np.concatenate(list(found.read())), some)


def test_every_flipped_byte_is_named(several, grey):
    _, content = several
    rng = np.random.default_rng(0)
    for place in [*range(80), *range(len(content) - 60, len(content)), *rng.integers(0, len(content), 2000)]:
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        with pytest.raises(ValueError, match=r"^Expected .* Received: [^\n]*$"):
            decompress(bytes(damaged), grey)


def test_every_truncation_is_named(several, grey):
    _, content = several
    for length in [0, 1, *np.linspace(2, len(content) - 1, 200).astype(int)]:
        with pytest.raises(Damaged, match=r"^Expected a whole digitvae archive\. Received: [^\n]*$"):
            decompress(content[:length], grey)


def test_announced_lengths_are_not_believed(several, grey):
    images, content = several
    damaged = bytearray(content)
    # The length of the first block, behind the header.
    start = content.index(b"DVCB")
    struct.pack_into("<I", damaged, start + 4 + 20, 0xFFFFFFFF)
    with pytest.raises(Damaged, match="ends within a block"):
        list(reader(bytes(damaged), grey).read())
    parts = list(reader(bytes(damaged), grey, salvage=True).read())
    np.testing.assert_array_equal(np.concatenate(parts), images[1000:])


def test_a_small_block_cannot_announce_many_images(grey):
    file = io.BytesIO()
    writer = Writer(file, Header((30_000, 30_000), grey.digest, "tiny"))
    writer.add(Block(STORED, 0, 1000, 0, zlib.compress(b"")))
    writer.finish()
    with pytest.raises(Damaged, match="announces more than it holds"):
        decompress(file.getvalue(), grey)


def test_what_is_whole_can_be_salvaged(several, grey):
    images, content = several
    shard = content.index(b"DVCB", content.index(b"DVCB") + 1)
    damaged = bytearray(content)
    damaged[shard + 200] ^= 255
    found = reader(bytes(damaged), grey, salvage=True)
    parts = np.concatenate(list(found.read()))
    np.testing.assert_array_equal(parts, np.concatenate([images[:1000], images[2000:]]))
    assert found.salvaged == [range(1000), range(2000, 2300)]
    # Cut off in the last shard, without index and end.
    found = reader(content[: int(0.9 * len(content))], grey, salvage=True)
    np.testing.assert_array_equal(np.concatenate(list(found.read())), images[:2000])


def test_another_model_is_refused(several, grey, bits):
    assert bits.digest != grey.digest
    with pytest.raises(
        ValueError, match=r"Expected the model of the archive, golden-grey \(.*Received: golden-bits"
    ):
        decompress(several[1], bits)
    with pytest.raises(ValueError, match="which is not shipped: golden-grey"):
        decompress(several[1])


def test_a_later_version_is_named(several, grey):
    damaged = bytearray(several[1])
    damaged[8] = 9
    with pytest.raises(Damaged, match="a file of version 9, where version 1 is known"):
        decompress(bytes(damaged), grey)
