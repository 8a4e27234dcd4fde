"""The file: independent blocks with checksums, an index, a check of the whole.

docs/codec_format.md describes every byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

VERSION = 1
MAGIC = b"\x89DVC\r\n\x1a\n"
END = b"DVCE"
MARK = b"DVCB"

INDEX, CODED, STORED, NAMES, FILE = range(5)
"""Kinds of blocks: the index; images by the model; images by zlib; names and labels; another file."""

# version, height, width, length of the model's name, its digest
_HEADER = struct.Struct("<HHHH32s")
# kind, first image, images, words of the filler, length of the content
_BLOCK = struct.Struct("<IQIII")
_CHECK = struct.Struct("<I")
# offset of a block, first image, images, kind
_ENTRY = struct.Struct("<QQII")
# offset of the index, images in all, CRC-32 of all before it
_TRAILER = struct.Struct("<QQI4s")
_PIECE = 1 << 20


class Damaged(ValueError):
    """A file that is not what was written.

    Args:
        received: what is wrong.
    """

    def __init__(self, received: str) -> None:
        super().__init__(f"Expected a whole digitvae archive. Received: {received}")


class Header(NamedTuple):
    """What stands at the beginning."""

    image_shape: tuple[int, int]
    digest: bytes
    """Of the model."""
    name: str
    """Of the model."""


class Entry(NamedTuple):
    """A block in the index."""

    offset: int
    first: int
    images: int
    kind: int


class Block(NamedTuple):
    """A block: so many images from number `first` on, or something else."""

    kind: int
    first: int
    images: int
    kept: int
    """Words of the filler below the content."""
    content: bytes


class Writer:
    """Writes blocks one after another, then the index; nothing is read or moved.

    Args:
        file: opened for writing, at its beginning.
        header: of the file.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file, self._offset, self._sum = file, 0, 0
        self._entries: list[Entry] = []
        name = header.name.encode()
        head = MAGIC + _HEADER.pack(VERSION, *header.image_shape, len(name), header.digest) + name
        self._write(head + _CHECK.pack(zlib.crc32(head)))

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._offset += len(content)
        self._sum = zlib.crc32(content, self._sum)

    def add(self, block: Block) -> None:
        """Write a block."""
        self._entries.append(Entry(self._offset, block.first, block.images, block.kind))
        self._block(block)

    def _block(self, block: Block) -> None:
        head = _BLOCK.pack(*block[:4], len(block.content))
        check = zlib.crc32(block.content, zlib.crc32(head))
        self._write(MARK + head + _CHECK.pack(check) + block.content)

    def finish(self) -> int:
        """Write index and end, and return the size of the file."""
        offset, images = self._offset, sum(e.images for e in self._entries if e.kind in (CODED, STORED))
        entries = b"".join(_ENTRY.pack(*entry) for entry in self._entries)
        self._block(Block(INDEX, 0, len(self._entries), 0, entries))
        self._write(struct.pack("<QQ", offset, images))
        self._write(_CHECK.pack(self._sum) + END)
        return self._offset


class Reader:
    """Reads blocks in any order; everything read is checked, and nothing larger than the file is allocated.

    Args:
        file: opened for reading, and seekable.
        whole: whether header, end and index must be whole; without it, only the header's beginning must.

    Raises:
        Damaged: it is no such file, or not whole.

    Attributes:
        header: of the file.
        entries: of the index, empty if not `whole`.
        images: number of images.
    """

    def __init__(self, file: BinaryIO, whole: bool = True) -> None:
        self._file = file
        self._size = file.seek(0, 2)
        self.header, self._start = self._read_header()
        self.entries: list[Entry] = []
        self.images = 0
        if whole:
            self._read_index()

    def _at(self, offset: int, count: int, what: str) -> bytes:
        if offset < 0 or count < 0 or offset + count > self._size:
            raise Damaged(f"a file that ends within {what}")
        self._file.seek(offset)
        content = self._file.read(count)
        if len(content) != count:
            raise Damaged(f"a file that ends within {what}")
        return content

    def _read_header(self) -> tuple[Header, int]:
        if not self._size:
            raise Damaged("an empty file")
        start = self._at(0, min(self._size, len(MAGIC)), "its magic number")
        if start != MAGIC:
            raise Damaged("something else")
        fields = self._at(len(MAGIC), _HEADER.size, "its header")
        version, height, width, length, digest = _HEADER.unpack(fields)
        end = len(MAGIC) + _HEADER.size + length
        if version != VERSION:
            raise Damaged(f"a file of version {version}, where version {VERSION} is known")
        head = self._at(0, end, "its header")
        if self._at(end, _CHECK.size, "its header") != _CHECK.pack(zlib.crc32(head)):
            raise Damaged("a damaged header")
        name = head[end - length :].decode("utf-8", "replace")
        return Header((height, width), digest, name), end + _CHECK.size

    def _read_index(self) -> None:
        end = self._size - _TRAILER.size
        offset, images, _, mark = _TRAILER.unpack(self._at(end, _TRAILER.size, "its end"))
        if mark != END:
            raise Damaged("a file whose end is missing (--salvage reads what there is)")
        index = self.block(offset)
        if index.kind != INDEX or len(index.content) != index.images * _ENTRY.size:
            raise Damaged("a damaged index (--salvage reads what there is)")
        self.entries = [Entry(*fields) for fields in _ENTRY.iter_unpack(index.content)]
        self.images = images
        following = 0
        for entry in self.entries:
            if entry.kind in (CODED, STORED):
                if entry.first != following:
                    raise Damaged("an index with gaps")
                following += entry.images
        if following != images:
            raise Damaged("an index of other images than there are")

    def check_whole(self) -> None:
        """Check every byte.

        Raises:
            Damaged: one is not what was written.
        """
        check, position, end = 0, 0, self._size - _CHECK.size - len(END)
        while position < end:
            piece = self._at(position, min(_PIECE, end - position), "itself")
            check, position = zlib.crc32(piece, check), position + len(piece)
        if self._at(end, _CHECK.size, "its end") != _CHECK.pack(check):
            raise Damaged("a damaged file (--salvage reads what is not)")

    def block(self, offset: int) -> Block:
        """Read the block at an offset.

        Raises:
            Damaged: there is none, or it is not whole.
        """
        start = self._at(offset, len(MARK) + _BLOCK.size + _CHECK.size, "a block")
        head = start[len(MARK) : -_CHECK.size]
        kind, first, count, kept, length = _BLOCK.unpack(head)
        if start[: len(MARK)] != MARK:
            raise Damaged(f"no block at byte {offset}")
        content = self._at(offset + len(start), length, "a block")
        if start[-_CHECK.size :] != _CHECK.pack(zlib.crc32(content, zlib.crc32(head))):
            raise Damaged(f"a damaged block at byte {offset}")
        return Block(kind, first, count, kept, content)

    def salvaged(self) -> Iterator[Block]:
        """Yield the blocks that are whole, in a file that may be damaged anywhere behind its header."""
        position, carried = self._start, b""
        while position < self._size:
            piece = carried + self._at(position, min(_PIECE, self._size - position), "itself")
            begin = position - len(carried)
            found = piece.find(MARK)
            if found < 0:
                carried = piece[-len(MARK) + 1 :]
                position = begin + len(piece)
                continue
            carried, position = b"", begin + found
            try:
                block = self.block(position)
            except Damaged:
                position += 1
                continue
            position += len(MARK) + _BLOCK.size + _CHECK.size + len(block.content)
            if block.kind != INDEX:
                yield block
