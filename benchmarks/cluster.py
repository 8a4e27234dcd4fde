"""A Ray cluster of this machine that stays for several calls of the command line: its start takes long."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def started(cores: int) -> Iterator[str]:
    """Start a cluster, and end it afterwards; its processes are children of this one.

    Args:
        cores: that it believes to have; an actor takes one.

    Yields:
        Its address.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # By default Ray's workers give way to everything else on the machine (nice 15).
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()
