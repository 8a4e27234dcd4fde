"""Workers on a cluster: actors of Ray Data. Ray spreads the work, and repeats what fails."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from digitvae.mapping.job import THREADS, Job, Worker
from digitvae.shards import ShardFile
from digitvae.shards.places import extra

LOCAL = "local"
"""Address that means: start a cluster on this machine."""
_PATIENCE = 10.0


class _Actor:
    """What Ray Data keeps alive: a worker of the job."""

    def __init__(self, job: Job):
        self._worker = Worker(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        shard = ShardFile(row["name"], int(row["rows"]), int(row["first"]), None)
        try:
            # As text, so that no type changes on the way.
            return {"manifest": json.dumps(self._worker(shard)), "error": ""}
        except (OSError, ValueError) as error:
            # Ray would print pages of an exception. What is wrong stays wrong, so it is not to try again.
            kind = "OSError" if isinstance(error, OSError) else "ValueError"
            return {"manifest": kind, "error": str(error)}


def mapped(job: Job, shards: Sequence[ShardFile], workers: int, address: str) -> Iterator[dict[str, Any]]:
    """Do shards in actors, and yield their manifests as they come.

    Args:
        job: what to do.
        shards: what with.
        workers: number of actors, one core each.
        address: of the cluster; `local` starts one here.

    Raises:
        ConnectionError: no cluster answers.
        ImportError: Ray is not installed.
        OSError: as `Worker`.
        ValueError: as `Worker`.
    """
    if not shards:
        return
    ray, data = _started(address, workers)
    try:
        rows = [{"name": shard.name, "rows": shard.rows, "first": shard.first} for shard in shards]
        found = data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,
            fn_constructor_args=(job,),
            compute=data.ActorPoolStrategy(size=min(workers, len(shards))),
            num_cpus=1,
            runtime_env={"env_vars": THREADS},
        )
        for row in found.iter_rows():
            if row["error"]:
                raise (OSError if row["manifest"] == "OSError" else ValueError)(row["error"])
            yield json.loads(row["manifest"])
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"Expected a cluster that goes on. Received: {error}") from error
    finally:
        ray.shutdown()


def _started(address: str, workers: int) -> tuple[Any, Any]:
    """Connect to a cluster, or start one; return Ray and Ray Data."""
    # Its core prints warnings about its own insides.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray, data = extra("ray"), extra("ray.data")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    else:
        _check_reachable(address)
        try:
            ray.init(address=address, **quiet)
        except Exception as error:  # Ray raises many kinds
            raise ConnectionError(
                f"Expected the address of a Ray cluster. Received: {address} ({error})"
            ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    return ray, data


def _check_reachable(address: str) -> None:
    """Refuse at once an address where nobody listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"Expected the address of a Ray cluster, local, auto or HOST:PORT. Received: {address} ({error})"
        ) from error
