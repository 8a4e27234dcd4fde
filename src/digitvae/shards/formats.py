"""The two formats of a shard: Parquet and `.npz`; files to arrays and back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from digitvae.data.arrays import Images, Labels, as_images, check_size, check_unzipped
from digitvae.shards.places import extra

SUFFIXES = (".parquet", ".npz")
_PNG = b"\x89PNG\r\n\x1a\n"


class BadRow(NamedTuple):
    """A row that was set aside."""

    row: int
    """Its number in the shard's file, from 0."""
    id: int
    """Its id, -1 where it has none."""
    reason: str


class Shard(NamedTuple):
    """Some rows of a data set."""

    images: Images
    """uint8 (n, height, width)."""
    labels: Labels
    """int64 (n,), -1 for an image without a label."""
    ids: npt.NDArray[np.int64]
    """int64 (n,), from 0, all different in the data set."""

    def take(self, rows: slice | npt.NDArray[np.generic]) -> Shard:
        """Return some of the rows."""
        return Shard(self.images[rows], self.labels[rows], self.ids[rows])


class Summary(NamedTuple):
    """What is known of a shard before it is read."""

    rows: int
    ids: tuple[int, int] | None
    """The smallest and the largest id; None where the shard has none."""


def summary(file: IO[bytes], name: str) -> Summary:
    """Return what the head (or foot) of a shard says.

    Raises:
        ValueError: the file is no shard.
    """
    return _guarded(_npz_summary if name.endswith(".npz") else _parquet_summary, file, name)


def read_ids(file: IO[bytes], name: str) -> npt.NDArray[np.int64] | None:
    """Return the ids of a shard alone, int64 (n,), -1 for a row without one; None where it has no ids.

    Raises:
        ValueError: the file is no shard.
    """
    return _guarded(_npz_ids if name.endswith(".npz") else _parquet_ids, file, name)


def decoded(
    content: bytes,
    name: str,
    first: int,
    image_shape: tuple[int, int] | None = None,
    bad: list[BadRow] | None = None,
) -> Shard:
    """Return the rows of a shard's file.

    Args:
        content: of the file.
        name: of the file; its ending tells the format, and messages name it.
        first: id of the first row where the file has no ids.
        image_shape: (height, width) that images must have; by default that of the first good one.
        bad: takes the rows that are no good, in place of an error.

    Raises:
        ValueError: the file is no shard; or, without `bad`, a row is no good.
    """
    read = _npz_columns if name.endswith(".npz") else _parquet_columns
    images, labels, ids = _guarded(read, io.BytesIO(content), name)
    found = _Rows(name, len(images), first, labels, ids, image_shape)
    pixels = found.of_array(images) if isinstance(images, np.ndarray) else found.of_list(images)
    return found.sifted(pixels, bad)


def encoded(shard: Shard, suffix: str, png: bool = False) -> bytes:
    """Return the content of a shard's file; the same rows give the same bytes.

    Args:
        shard: the rows.
        suffix: `.parquet` or `.npz`.
        png: whether Parquet holds images as PNG, else their plain bytes.
    """
    file = io.BytesIO()
    if suffix == ".npz":
        _write_npz(file, {"images": shard.images, "labels": shard.labels, "ids": shard.ids})
    else:
        _write_parquet(file, shard, png)
    return file.getvalue()


class _Rows:
    """The rows of one file while they are checked."""

    def __init__(
        self,
        name: str,
        count: int,
        first: int,
        labels: np.ndarray | None,
        ids: np.ndarray | None,
        image_shape: tuple[int, int] | None,
    ):
        self._name, self._shape = name, image_shape
        self._reasons: dict[int, str] = {}
        self._count = count
        self.labels = self._integers("label", labels, np.full(count, -1))
        self.ids = self._integers("id", ids, np.arange(first, first + count))
        self._refuse(self.labels < -1, "Expected a label from 0, or -1 for none. Received: a smaller one")
        self._refuse(self.ids < 0, "Expected an id from 0. Received: none, or a smaller one")
        once = np.zeros(count, bool)
        once[np.unique(self.ids, return_index=True)[1]] = True
        self._refuse(~once, "Expected an id that no other row has. Received: one of an earlier row")

    def of_array(self, images: np.ndarray) -> Images:
        """Take images that are one array."""
        if not len(images):
            return np.empty((0, *(self._shape or images.shape[1:3])), "uint8")
        checked = as_images(images, self._name)
        if len(checked) != self._count:
            raise ValueError(f"Expected images (n, height, width). Received: {self._name} with one image")
        wrong = self._wrong_size(checked.shape[1:])
        if wrong:
            self._refuse(np.ones(len(checked), bool), wrong)
            return np.empty((len(checked), *(self._shape or ())), "uint8")
        return checked

    def of_list(self, images: Sequence[Callable[[], np.ndarray]]) -> Images:
        """Take images one by one, each made by a call."""
        pixels: Images | None = None
        for row, make in enumerate(images):
            try:
                image = make()
                wrong = self._wrong_size(image.shape)
            except ValueError as error:
                wrong = str(error)
            if wrong:
                self._reasons.setdefault(row, wrong)
                continue
            if pixels is None:
                self._shape = image.shape[0], image.shape[1]
                pixels = np.zeros((len(images), *self._shape), "uint8")
            pixels[row] = image
        return np.empty((len(images), *(self._shape or (0, 0))), "uint8") if pixels is None else pixels

    def sifted(self, images: Images, bad: list[BadRow] | None) -> Shard:
        """Return the good rows; raise what is wrong with the first of the others, or list them."""
        shard = Shard(images, self.labels, self.ids)
        if not self._reasons:
            return shard
        rows = sorted(self._reasons)
        if bad is None:
            raise ValueError(f"{self._reasons[rows[0]]} (row {rows[0]} of {self._name})")
        bad += [BadRow(row, int(self.ids[row]), self._reasons[row]) for row in rows]
        return shard.take(np.setdiff1d(np.arange(self._count), rows))

    def _integers(self, kind: str, values: np.ndarray | None, default: np.ndarray) -> npt.NDArray[np.int64]:
        if values is None:
            return default.astype("int64")
        if values.dtype.kind not in "ui" or values.shape != (self._count,):
            raise ValueError(
                f"Expected an integer {kind} for each of {self._count} images. "
                f"Received: {self._name} with {values.dtype} of shape {values.shape}"
            )
        return values.astype("int64")

    def _refuse(self, rows: npt.NDArray[np.bool_], reason: str) -> None:
        for row in np.flatnonzero(rows):
            self._reasons.setdefault(int(row), reason)

    def _wrong_size(self, shape: tuple[int, ...]) -> str:
        """Return what is wrong with the size of an image; nothing if it is right."""
        if self._shape is None:
            height, width = shape
            check_size(height, width, f"{height}x{width} pixels")
        elif tuple(shape) != self._shape:
            wanted, found = ("x".join(map(str, size)) for size in (self._shape, shape))
            return f"Expected an image of {wanted} pixels. Received: {found}"
        return ""


def _guarded(function: Callable[[IO[bytes]], Any], file: IO[bytes], name: str) -> Any:
    """Call a reader of files, and say of any error that the file is no shard."""
    try:
        return function(file)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # the type depends on where the damage is
        kind = ".npz" if name.endswith(".npz") else "Parquet"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"Expected a whole {kind} file with images. Received: {name} ({reason})") from error


# .npz: `images`, and perhaps `labels` and `ids`.


def _npz_arrays(file: IO[bytes], *names: str) -> list[np.ndarray | None]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            check_unzipped(entry.file_size, entry.filename)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return [arrays.get(name) for name in names]


def _npz_columns(file: IO[bytes]) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    images, labels, ids = _npz_arrays(file, "images", "labels", "ids")
    if images is None or images.ndim < 3:
        raise ValueError("it has no array `images` of shape (n, height, width)")
    return images, labels, ids


def _npz_ids(file: IO[bytes]) -> np.ndarray | None:
    (ids,) = _npz_arrays(file, "ids")
    return None if ids is None else ids.astype("int64")


def _npz_summary(file: IO[bytes]) -> Summary:
    with zipfile.ZipFile(file) as archive, archive.open("images.npy") as images:
        version = np.lib.format.read_magic(images)
        head = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        (rows, *_), _, _ = head(images)
    file.seek(0)
    ids = _npz_ids(file)
    return Summary(rows, None if ids is None or not len(ids) else (int(ids.min()), int(ids.max())))


def _write_npz(file: IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    # Not `np.savez_compressed`: the time that it notes in the file would make every file another one.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())


# Parquet: `image` (PNG, or plain bytes with `height` and `width`), and perhaps `label` and `id`.


def _parquet_summary(file: IO[bytes]) -> Summary:
    parquet = extra("pyarrow.parquet").ParquetFile(file)
    names, footer = parquet.schema_arrow.names, parquet.metadata
    if "image" not in names:
        raise ValueError("it has no column `image`")
    if "id" not in names or not footer.num_rows:
        return Summary(footer.num_rows, None)
    ids = _column(parquet.read(columns=["id"]), "id") if not _bounded(footer) else None
    if ids is not None:
        return Summary(footer.num_rows, (int(ids.min()), int(ids.max())))
    parts = _id_statistics(footer)
    return Summary(footer.num_rows, (min(part.min for part in parts), max(part.max for part in parts)))


def _id_statistics(footer: Any) -> list[Any]:
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    return [column.statistics for column in columns if column.path_in_schema == "id"]


def _bounded(footer: Any) -> bool:
    """Return whether the footer tells the smallest and the largest id of every group of rows."""
    parts = _id_statistics(footer)
    return all(part is not None and part.has_min_max and not part.null_count for part in parts)


def _parquet_ids(file: IO[bytes]) -> np.ndarray | None:
    parquet = extra("pyarrow.parquet").ParquetFile(file)
    if "id" not in parquet.schema_arrow.names:
        return None
    return _column(parquet.read(columns=["id"]), "id")


def _parquet_columns(file: IO[bytes]) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
    table = extra("pyarrow.parquet").ParquetFile(file).read()
    if "image" not in table.column_names:
        raise ValueError("it has no column `image`")
    labels, ids, heights, widths = (_column(table, name) for name in ("label", "id", "height", "width"))
    images = table["image"].combine_chunks()
    if not len(images):
        size = () if heights is None else (0, 0)
        return np.empty((0, *size), "uint8"), labels, ids
    plain = _plain(images, heights, widths)
    return (_pictures(images, heights, widths) if plain is None else plain), labels, ids


def _column(table: Any, name: str) -> np.ndarray | None:
    """Return a column of whole numbers, -1 for null; None if there is none."""
    if name not in table.column_names:
        return None
    column = table[name]
    return (column.fill_null(-1) if column.null_count else column).to_numpy()


def _plain(images: Any, heights: np.ndarray | None, widths: np.ndarray | None) -> np.ndarray | None:
    """Return a column of plain bytes of one size as an array (n, height, width); None if it is none."""
    types = extra("pyarrow").types
    if heights is None or widths is None or images.null_count or not types.is_fixed_size_binary(images.type):
        return None
    height, width, size = int(heights[0]), int(widths[0]), images.type.byte_width
    if (heights != height).any() or (widths != width).any() or height * width != size:
        return None
    content = np.frombuffer(images.buffers()[1], "uint8")
    return content[images.offset * size :][: len(images) * size].reshape(-1, height, width)


def _pictures(
    images: Any, heights: np.ndarray | None, widths: np.ndarray | None
) -> list[Callable[[], np.ndarray]]:
    """Return a function for each row that makes its image."""

    def maker(row: int, value: Any) -> Callable[[], np.ndarray]:
        # Hugging Face keeps images as {"bytes": ..., "path": ...}.
        content = value.get("bytes") if isinstance(value, dict) else value
        return lambda: _picture(content, heights, widths, row)

    return [maker(row, value.as_py()) for row, value in enumerate(images)]


def _picture(content: Any, heights: np.ndarray | None, widths: np.ndarray | None, row: int) -> np.ndarray:
    if not isinstance(content, bytes):
        raise ValueError("Expected the bytes of an image. Received: none")
    if content.startswith(_PNG):
        from PIL import Image

        try:
            with Image.open(io.BytesIO(content)) as image:
                check_size(image.height, image.width, f"{image.height}x{image.width} pixels")
                return np.asarray(image.convert("L"), "uint8")
        except (OSError, SyntaxError) as error:
            raise ValueError(f"Expected a whole PNG image. Received: a damaged one ({error})") from error
    if heights is None or widths is None:
        raise ValueError("Expected a PNG image, or bytes with a height and a width. Received: neither")
    height, width = int(heights[row]), int(widths[row])
    if min(height, width) < 1 or height * width != len(content):
        raise ValueError(f"Expected {height} x {width} bytes. Received: {len(content)}")
    return np.frombuffer(content, "uint8").reshape(height, width)


def _write_parquet(file: IO[bytes], shard: Shard, png: bool) -> None:
    arrow, parquet = extra("pyarrow"), extra("pyarrow.parquet")
    count, height, width = shard.images.shape
    if png:
        images = arrow.array([_png(image) for image in shard.images], arrow.binary())
    else:
        content = arrow.py_buffer(np.ascontiguousarray(shard.images))
        images = arrow.FixedSizeBinaryArray.from_buffers(arrow.binary(height * width), count, [None, content])
    table = arrow.table(
        {
            "id": arrow.array(shard.ids),
            "label": arrow.array(shard.labels),
            "height": arrow.array(np.full(count, height, "int32")),
            "width": arrow.array(np.full(count, width, "int32")),
            "image": images,
        }
    )
    parquet.write_table(table, file, compression="zstd")


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def encoded_table(rows: Shard, columns: Mapping[str, np.ndarray], suffix: str) -> bytes:
    """Return the content of a file with ids, labels and numbers; the same rows give the same bytes.

    Args:
        rows: whose ids and labels are written; not their images.
        columns: further columns by name, numbers (n,) or (n, size).
        suffix: `.parquet`, with the columns `id` and `label`, or `.npz`, with `ids` and `labels`.
    """
    file = io.BytesIO()
    if suffix == ".npz":
        _write_npz(file, {"labels": rows.labels, "ids": rows.ids, **columns})
        return file.getvalue()
    arrow, parquet = extra("pyarrow"), extra("pyarrow.parquet")
    table = {"id": arrow.array(rows.ids), "label": arrow.array(rows.labels)}
    for name, values in columns.items():
        flat = arrow.array(values.ravel())
        if values.ndim == 2:
            flat = arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
        table[name] = flat
    parquet.write_table(arrow.table(table), file, compression="zstd")
    return file.getvalue()
