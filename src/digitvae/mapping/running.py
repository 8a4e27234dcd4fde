"""What is missing of a job, done by workers here or on a cluster, and what it comes to."""

from __future__ import annotations

import json
import time
from typing import Any

from digitvae.mapping import local
from digitvae.mapping.job import Job, manifest_name
from digitvae.progress import progress_bar
from digitvae.shards import ShardedData, ShardFile

SUMMARY = "_summary.json"


def run(job: Job, data: ShardedData, workers: int, ray: str | None = None) -> dict[str, Any]:
    """Do all shards that are not done yet.

    Args:
        job: as `prepare` returned it.
        data: its shards.
        workers: processes here, or actors on the cluster.
        ray: address of the cluster; None for processes of this machine.

    Returns:
        The summary, which also lies in the output folder as `_summary.json`: rows, bad rows, shards, bytes;
        how many of them this call did, its seconds and rows per second, and those of the start.

    Raises:
        OSError: a shard cannot be read, or a result cannot be written.
        RuntimeError: workers die again and again.
        ValueError: a shard is damaged, or has a bad row; or the data are others than those of the output.
    """
    began = time.perf_counter()
    done, missing = _sorted_out(job, data)
    rows, first = sum(shard.rows for shard in missing), None
    if ray is None:
        found = local.mapped(job, missing, workers)
    else:
        from digitvae.mapping import on_ray

        found = on_ray.mapped(job, missing, workers, ray)
    with progress_bar(rows, job.settings.verb, " rows") as bar:
        for manifest in found:
            first = time.perf_counter() if first is None else first
            done[manifest["shard"]] = manifest
            bar.update(manifest["input_rows"])
    seconds = time.perf_counter() - began
    summary = {
        **job.settings.as_json(),
        "data": str(job.data),
        "output": str(job.output),
        "shards": len(data.shards),
        **{key: sum(entry[key] for entry in done.values()) for key in ("rows", "bad_rows", "bytes")},
        "done_now": {
            "shards": len(missing),
            "rows": rows,
            "workers": workers,
            "seconds": round(seconds, 3),
            "seconds_to_first_shard": None if first is None else round(first - began, 3),
            "rows_per_second": round(rows / seconds, 1) if rows else None,
        },
    }
    job.output.write(SUMMARY, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def _sorted_out(job: Job, data: ShardedData) -> tuple[dict[str, dict[str, Any]], list[ShardFile]]:
    """Return the manifests of the shards that are done, and the other shards."""
    present = set(job.output.names())
    done, missing = {}, []
    for shard in data.shards:
        names = {manifest_name(shard.name), job.output_name(shard.name)}
        if not names <= present:
            missing.append(shard)
            continue
        manifest = json.loads(job.output.read(manifest_name(shard.name)))
        if manifest["input_rows"] != shard.rows:
            raise ValueError(
                f"Expected the data that the output was made from, {manifest['input_rows']} rows in "
                f"{shard.name}. Received: {shard.rows}"
            )
        done[shard.name] = manifest
    return done, missing
