"""Verbs of lossless compression."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from digitvae.cli.common import from_one
from digitvae.config import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from digitvae.codec import ArchiveReader, CodecModel

_OUTPUTS = (".npy", ".npz", "/")


class _Verb(NamedTuple):
    add_arguments: Callable[[argparse.ArgumentParser], None]
    work: Callable[[argparse.Namespace], None]


def _add_shared(parser: argparse.ArgumentParser, output: str) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=output)
    parser.add_argument(
        "--workers", type=from_one, metavar="N", help="threads (default: the cores that the process may use)"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    parser.add_argument("--debug", action="store_true", help="full traceback when something fails")


def _add_compress(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Compress grey images without loss, by a trained model (bits-back coding). A folder comes back with "
        "its sub-folders; what is no grey PNG of the model's size is kept byte by byte."
    )
    parser.add_argument(
        "images", metavar="IMAGES", help="a folder, a .npy, .npz or IDX file, or mnist for its test images"
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="what `digitvae export --format codec` wrote; a run folder, latest or a shipped model, with a "
        "codec.npz in it; or the file itself (default: the shipped `bits` where all pixels are 0 or 255, "
        "else `grey`)",
    )
    _add_shared(parser, "the archive to write")


def _add_decompress(parser: argparse.ArgumentParser) -> None:
    parser.description = "Get the images of an archive back."
    parser.add_argument("archive", metavar="FILE", help="an archive that `digitvae compress` wrote")
    parser.add_argument(
        "--model", metavar="MODEL", help="that it was made with (default: the shipped one that it names)"
    )
    parser.add_argument(
        "--range", type=_range, metavar="FIRST:END", help="these images only, counted from 0, without END"
    )
    parser.add_argument("--salvage", action="store_true", help="get out what is whole of a damaged archive")
    _add_shared(parser, "a .npy or .npz file, or a new folder of PNG files")


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"Expected a range such as 5000:6000. Received: {text}")
    return int(match[1]), int(match[2])


def _model(name: str) -> CodecModel:
    from digitvae.codec import read_codec_model
    from digitvae.exporting import codec_file

    return read_codec_model(codec_file(name))


def _compress(arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    from digitvae.codec import IMAGE_SHAPE, folders, suited, write
    from digitvae.data.idx import is_idx_folder
    from digitvae.files import written_whole
    from digitvae.writers import check_target

    target = check_target(arguments.output, (Path(arguments.output).suffix.lower(),)).path
    model = None if arguments.model is None else _model(arguments.model)
    source = Path(arguments.images)
    names: dict[str, Any] | None = None
    with_them = ""
    others: Iterable[tuple[str, bytes]] = ()
    if source.is_dir() and not is_idx_folder(source):
        shape = IMAGE_SHAPE if model is None else model.image_shape
        files, rest = folders.split(source, shape)
        names = {"names": [file.relative_to(source).as_posix() for file in files]}
        with_them = ", their names and other files" if rest else " and their names"
        others = ((file.relative_to(source).as_posix(), file.read_bytes()) for file in rest)

        def images() -> Iterable[np.ndarray]:
            return folders.images_of(files, shape)
    else:
        images, labels = _arrays(arguments.images)
        if labels is not None:
            names, with_them = {"labels": labels.tolist()}, " and their labels"
    model = model or suited(images())
    with written_whole(target) as path, path.open("wb") as file:
        done = write(file, images(), model, names, others, arguments.workers)
    coded = done.coded * model.pixels
    found = {
        "images": done.images,
        "coded": done.coded,
        "bytes": done.size,
        "bits_per_dim": 8 * done.size / done.pixels if done.pixels else None,
        "cost": {part: bits / coded for part, bits in done.cost._asdict().items()} if coded else None,
        "model": model.name,
        "output": str(target),
        "seconds": round(time.perf_counter() - began, 3),
    }
    if arguments.json:
        print(json.dumps({"verb": arguments.verb, **found}, indent=2))
        return
    rate = f", {found['bits_per_dim']:.4f} bits per pixel" if done.pixels else ""
    print(f"{done.images:,} images{with_them} in {done.size:,} bytes{rate}, by the model {model.name}")
    if done.coded < done.images:
        print(f"{done.images - done.coded:,} of them stored, which the model does not take or would enlarge")
    print(f"Written: {target}")


def _arrays(source: str) -> tuple[Callable[[], Iterable[np.ndarray]], np.ndarray | None]:
    """Return what gives images, and the labels of a file; a plain array is not read at once."""
    import numpy as np

    from digitvae.data import read_images

    if source.endswith(".npy") and Path(source).is_file():
        try:
            stored = np.load(source, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError):
            stored = None  # what is wrong with it, `read_images` says
        if isinstance(stored, np.ndarray) and stored.dtype == np.uint8 and stored.ndim == 3:
            return lambda: (np.array(stored[i : i + 1000]) for i in range(0, len(stored), 1000)), None
    images, labels = read_images(source)
    return lambda: [images], labels


def _decompress(arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    from digitvae.codec import ArchiveReader, model_of
    from digitvae.writers import FOLDER, check_target

    if arguments.salvage and arguments.range:
        raise ConfigError("Expected --range or --salvage. Received: both")
    target = check_target(arguments.output, _OUTPUTS)
    if not Path(arguments.archive).is_file():
        raise FileNotFoundError(f"Expected an archive. Received: {arguments.archive} (no such file)")
    given = None if arguments.model is None else _model(arguments.model)
    with Path(arguments.archive).open("rb") as file:
        reader = ArchiveReader(file, model_of if given is None else lambda *_: given, arguments.salvage)
        start, stop = arguments.range or (0, None)
        if stop is None and not arguments.salvage:
            reader.check()
        elif stop is not None and stop > reader.count:
            raise ConfigError(f"Expected a range within {reader.count:,} images. Received: {start}:{stop}")
        images = reader.read(start, stop, arguments.workers)
        if target.kind == FOLDER:
            count = _to_folder(target.path, images, reader, start, whole=arguments.range is None)
        else:
            count = _to_arrays(target.path, images, reader, start, stop)
    found = {
        "images": count,
        "salvaged": [[part.start, part.stop] for part in reader.salvaged] if arguments.salvage else None,
        "model": reader.header.name,
        "output": str(target.path),
        "seconds": round(time.perf_counter() - began, 3),
    }
    if arguments.json:
        print(json.dumps({"verb": arguments.verb, **found}, indent=2))
        return
    if arguments.salvage:
        parts = ", ".join(f"{part.start} to {part.stop - 1}" for part in reader.salvaged)
        print(f"Salvaged: images {parts or 'none'}", file=sys.stderr)
    print(f"{count:,} images\nWritten: {target.path}")


def _numbers(reader: ArchiveReader, start: int, count: int) -> list[int]:
    """Return the numbers in the archive of images that were read one after another."""
    if reader.salvaged:
        return [number for part in reader.salvaged for number in part][:count]
    return list(range(start, start + count))


def _to_folder(
    path: Path, images: Iterator[np.ndarray], reader: ArchiveReader, start: int, whole: bool
) -> int:
    from digitvae.codec.folders import place, png
    from digitvae.files import folder_written_whole

    names = reader.names.get("names", [])
    count = 0
    with folder_written_whole(path) as folder:
        for shard in images:
            numbers = _numbers(reader, start, count + len(shard))[count:]
            for number, pixels in zip(numbers, shard, strict=True):
                name = names[number] if number < len(names) else f"{number:05}.png"
                place(folder, name).write_bytes(png(pixels))
            count += len(shard)
        if whole:
            for name, content in reader.files():
                place(folder, name).write_bytes(content)
    return count


def _to_arrays(
    path: Path, images: Iterator[np.ndarray], reader: ArchiveReader, start: int, stop: int | None
) -> int:
    import numpy as np

    from digitvae.files import written_whole

    shape = reader.header.image_shape
    with written_whole(path) as temporary:
        if path.suffix.lower() == ".npy" and not reader.is_salvage:
            count = len(range(reader.count)[start:stop])
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            with temporary.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for shard in images:
                    file.write(np.ascontiguousarray(shard).tobytes())
            return count
        found = np.concatenate([np.empty((0, *shape), "uint8"), *images])
        if path.suffix.lower() == ".npy":
            np.save(temporary, found)
            return len(found)
        numbers = _numbers(reader, start, len(found))
        kept: dict[str, Any] = {
            key: np.array([values[number] for number in numbers])
            for key, values in reader.names.items()
            if all(number < len(values) for number in numbers)
        }
        np.savez_compressed(temporary, images=found, **kept)
        return len(found)


VERBS = {
    "compress": _Verb(_add_compress, _compress),
    "decompress": _Verb(_add_decompress, _decompress),
}
