"""Shards in Parquet: the column `image`, and perhaps `label` and `id`.

Images are PNG files, or plain bytes with the columns `height` and `width`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from digitvae.data.arrays import check_size
from digitvae.shards.places import extra
from digitvae.shards.rows import Shard, Summary

_PNG = b"\x89PNG\r\n\x1a\n"


def summary(file: IO[bytes]) -> Summary:
    """Return what the foot of a file says, and the ids where it does not say their range.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: there are no images.
    """
    parquet = extra("pyarrow.parquet").ParquetFile(file)
    names, footer = parquet.schema_arrow.names, parquet.metadata
    if "image" not in names:
        raise ValueError("it has no column `image`")
    if "id" not in names or not footer.num_rows:
        return Summary(footer.num_rows, None)
    found = _column(parquet.read(columns=["id"]), "id") if not _bounded(footer) else None
    if found is not None:
        return Summary(footer.num_rows, (int(found.min()), int(found.max())))
    parts = _id_statistics(footer)
    return Summary(footer.num_rows, (min(part.min for part in parts), max(part.max for part in parts)))


def ids(file: IO[bytes]) -> np.ndarray | None:
    """Return the ids alone, -1 for null.

    Raises:
        ImportError: pyarrow is not installed.
    """
    parquet = extra("pyarrow.parquet").ParquetFile(file)
    if "id" not in parquet.schema_arrow.names:
        return None
    return _column(parquet.read(columns=["id"]), "id")


def columns(file: IO[bytes]) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
    """Return images, labels and ids, -1 for null; images as one array, or as a function for each row.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: there are no images.
    """
    table = extra("pyarrow.parquet").ParquetFile(file).read()
    if "image" not in table.column_names:
        raise ValueError("it has no column `image`")
    labels, numbers, heights, widths = (_column(table, name) for name in ("label", "id", "height", "width"))
    images = table["image"].combine_chunks()
    if not len(images):
        size = () if heights is None else (0, 0)
        return np.empty((0, *size), "uint8"), labels, numbers
    plain = _plain(images, heights, widths)
    return (_pictures(images, heights, widths) if plain is None else plain), labels, numbers


def write(file: IO[bytes], shard: Shard, png: bool) -> None:
    """Write rows; images as PNG, or as their plain bytes.

    Raises:
        ImportError: pyarrow is not installed.
    """
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


def write_table(file: IO[bytes], rows: Shard, columns: Mapping[str, np.ndarray]) -> None:
    """Write ids, labels and further columns, numbers (n,) or (n, size).

    Raises:
        ImportError: pyarrow is not installed.
    """
    arrow, parquet = extra("pyarrow"), extra("pyarrow.parquet")
    table = {"id": arrow.array(rows.ids), "label": arrow.array(rows.labels)}
    for name, values in columns.items():
        flat = arrow.array(values.ravel())
        if values.ndim == 2:
            flat = arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
        table[name] = flat
    parquet.write_table(arrow.table(table), file, compression="zstd")


def _id_statistics(footer: Any) -> list[Any]:
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    return [column.statistics for column in columns if column.path_in_schema == "id"]


def _bounded(footer: Any) -> bool:
    """Return whether the footer tells the smallest and the largest id of every group of rows."""
    parts = _id_statistics(footer)
    return all(part is not None and part.has_min_max and not part.null_count for part in parts)


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


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()
