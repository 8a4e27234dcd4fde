"""Verbs over sharded data, with any number of workers, here or on a cluster of Ray.

`prepare` checks all that can be wrong before the work and returns a `Job`; `run` does what is missing of it.
"""

from digitvae.mapping.job import Job, Settings, Worker
from digitvae.mapping.preparing import VERBS, prepare
from digitvae.mapping.running import run

__all__ = ["VERBS", "Job", "Settings", "Worker", "prepare", "run"]
