"""Sharded data: directories of Parquet or `.npz` files with images, labels and ids, here or behind a URL.

`ShardedData` reads them, `write_shards` writes them, `Place` is the folder in which they lie. `.npz` shards
on this machine need NumPy alone; Parquet needs `pyarrow`, a URL `fsspec`: `pip install 'digitvae[ray]'`.
"""

from digitvae.shards.formats import SUFFIXES, decoded, encoded, encoded_table
from digitvae.shards.places import Place, place
from digitvae.shards.reading import ShardedData, ShardFile
from digitvae.shards.rows import BadRow, Shard
from digitvae.shards.writing import write_shards

__all__ = [
    "SUFFIXES",
    "BadRow",
    "Place",
    "Shard",
    "ShardFile",
    "ShardedData",
    "decoded",
    "encoded",
    "encoded_table",
    "place",
    "write_shards",
]
