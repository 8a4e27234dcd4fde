"""Images to a file and back, shard by shard: memory does not grow with their number."""

from __future__ import annotations

import itertools
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from digitvae.codec.container import CODED, FILE, NAMES, STORED, Block, Damaged, Header, Reader, Writer
from digitvae.codec.model import CodecModel
from digitvae.codec.shards import SHARD, Cost, decoded, encoded
from digitvae.machine import usable_cores

Images = npt.NDArray[np.uint8]
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")

_ZLIB_LEVEL = 9
# zlib cannot shrink by more: what a damaged file announces beyond it is not there.
_MOST_ZLIB = 1040


class Written(NamedTuple):
    """What a file holds."""

    images: int
    pixels: int
    """Of all images together."""
    size: int
    """Bytes of the whole file."""
    coded: int
    """Images that the model coded; the others are stored by zlib."""
    cost: Cost
    """Of those."""


def write(
    file: BinaryIO,
    images: Iterable[Images],
    model: CodecModel,
    names: dict[str, Any] | None = None,
    others: Iterable[tuple[str, bytes]] = (),
    workers: int | None = None,
) -> Written:
    """Write images to a file.

    Args:
        file: opened for writing.
        images: arrays, uint8 (n, h, w) of one size, one after another.
        model: for coding; images that it does not take are stored by zlib.
        names: anything that belongs to the images, plain JSON values.
        others: further files, by name.
        workers: threads; by default the cores that the process may use. The bytes do not depend on it.
    """
    following = _shards(images)
    start = next(following, np.empty((0, *model.image_shape), "uint8"))
    writer = Writer(file, Header(_shape(start), model.digest, model.name))
    first, coded, spent = 0, 0, Cost()
    for block, cost in _mapped(
        lambda shard: _block(model, shard), itertools.chain([start], following), workers
    ):
        if block.images:
            writer.add(block._replace(first=first))
        first += block.images
        coded += block.images * (block.kind == CODED)
        spent = spent.plus(cost)
    if names is not None:
        writer.add(Block(NAMES, 0, 0, 0, zlib.compress(json.dumps(names).encode(), 9)))
    for name, content in others:
        head = json.dumps(name).encode()
        writer.add(Block(FILE, 0, 0, len(head), head + zlib.compress(content, 9)))
    height, width = _shape(start)
    return Written(first, first * height * width, writer.finish(), coded, spent)


def _shape(images: Images) -> tuple[int, int]:
    height, width = images.shape[1:]
    return height, width


def _shards(images: Iterable[Images]) -> Iterator[Images]:
    """Cut arrays of any length into shards."""
    held: list[Images] = []
    count = 0
    for array in images:
        start = 0
        while start < len(array):
            part = array[start : start + SHARD - count]
            held.append(part)
            count, start = count + len(part), start + len(part)
            if count == SHARD:
                yield np.concatenate(held)
                held, count = [], 0
    if held:
        yield np.concatenate(held)


def _block(model: CodecModel, images: Images) -> tuple[Block, Cost]:
    stored = Block(STORED, 0, len(images), 0, zlib.compress(images.tobytes(), _ZLIB_LEVEL))
    if not len(images) or not model.takes(images):
        return stored, Cost()
    shard = encoded(model, images)
    if len(shard.content) >= len(stored.content):
        return stored, Cost()
    return Block(CODED, 0, len(images), shard.kept, shard.content), shard.cost


class ArchiveReader:
    """A file of images.

    Args:
        file: opened for reading, and seekable.
        model: returns the model of a name and digest.
        salvage: read what is whole of a damaged file, in place of refusing it.

    Raises:
        ValueError: the file is none, or damaged; or its model is not known.

    Attributes:
        header: of the file.
        count: number of images; 0 where that is not known, because the file is damaged.
        is_salvage: whether what is whole of a damaged file is read.
    """

    def __init__(
        self, file: BinaryIO, model: Callable[[str, bytes], CodecModel], salvage: bool = False
    ) -> None:
        self._reader = Reader(file, whole=not salvage)
        self.header, self.count, self.is_salvage = self._reader.header, self._reader.images, salvage
        self._model = model(self.header.name, self.header.digest)
        if self._model.digest != self.header.digest:
            raise ValueError(
                f"Expected the model of the archive, {self.header.name} ({self.header.digest.hex()[:12]}). "
                f"Received: {self._model.name} ({self._model.digest.hex()[:12]})"
            )
        self.salvaged: list[range] = []
        """Numbers of the images that were read, where the file is damaged."""
        self.names: dict[str, Any] = {}
        """Names and labels of the images."""
        for block in self._blocks(NAMES):
            self.names = json.loads(_unzipped(block.content))

    def check(self) -> None:
        """Check every byte of the file.

        Raises:
            Damaged: one is not what was written.
        """
        self._reader.check_whole()

    def read(self, start: int = 0, stop: int | None = None, workers: int | None = None) -> Iterator[Images]:
        """Yield the images from `start` to `stop`, uint8 (n, h, w), shard by shard.

        Args:
            start: number of the first image.
            stop: number behind the last one; None for all.
            workers: threads; by default the cores that the process may use.

        Raises:
            ValueError: a shard is damaged.
        """
        wanted = range(self.count)[start:stop]
        for number, images in _mapped(self._images, self._blocks(CODED, STORED, wanted=wanted), workers):
            if self.is_salvage:
                if len(images):
                    self.salvaged.append(range(number, number + len(images)))
                yield images
            else:
                yield images[max(0, wanted.start - number) : max(0, wanted.stop - number)]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the other files, each a name and its content."""
        for block in self._blocks(FILE):
            yield json.loads(block.content[: block.kept]), _unzipped(block.content[block.kept :])

    def _blocks(self, *kinds: int, wanted: range | None = None) -> Iterator[Block]:
        if self.is_salvage:
            yield from (block for block in self._reader.salvaged() if block.kind in kinds)
            return
        for entry in self._reader.entries:
            outside = wanted is not None and (
                entry.first >= wanted.stop or entry.first + entry.images <= wanted.start
            )
            if entry.kind in kinds and not outside:
                yield self._reader.block(entry.offset)

    def _images(self, block: Block) -> tuple[int, Images]:
        shape = (block.images, *self.header.image_shape)
        if block.images > SHARD:
            raise Damaged(f"a block of {block.images} images")
        if block.kind == CODED:
            if self.header.image_shape != self._model.image_shape:
                raise Damaged("a block of a model of other images")
            try:
                return block.first, decoded(self._model, block.images, block.kept, block.content)
            except ValueError:
                if not self.is_salvage:
                    raise
                return block.first, np.empty((0, *shape[1:]), "uint8")
        size = int(np.prod(shape))
        if size > _MOST_ZLIB * len(block.content):
            raise Damaged("a block that announces more than it holds")
        content = _unzipped(block.content, size + 1)
        if len(content) != size:
            raise Damaged("a block of another size")
        return block.first, np.frombuffer(content, "uint8").reshape(shape)


def _unzipped(content: bytes, most: int = 0) -> bytes:
    """Return what zlib has shrunk, no more than so many bytes where that is given."""
    unzip = zlib.decompressobj()
    try:
        found = unzip.decompress(content, most)
    except zlib.error as error:
        raise Damaged(f"a damaged block ({error})") from error
    if not unzip.eof:
        raise Damaged("a block that is cut off, or longer than it announces")
    return found


def _mapped(
    function: Callable[[_Item], _Found], items: Iterable[_Item], workers: int | None
) -> Iterator[_Found]:
    """Apply a function in threads; at most one item for each of them is waiting."""
    workers = workers or usable_cores()
    # Products of matrices in threads of their own would stand in the way of these.
    with threadpool_limits(1, "blas"):
        if workers == 1:
            yield from map(function, items)
            return
        pool = ThreadPoolExecutor(workers)
        waiting: deque[Future[_Found]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
