"""One training in several processes, on one host or many: each computes its rows of every batch (JAX alone).

The programs see global arrays: Keras' `DataParallel` replicates the weights and cuts the batches by rows,
XLA adds up the gradients over the network. Noise is drawn for the global shape, so N processes draw what one
would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import keras
import numpy as np

from digitvae.config import ConfigError
from digitvae.rows import Share

# JAX' own default is 100 seconds; within a minute a job must know that a process is lost.
HEARTBEAT_SECONDS = 20
# For processes to meet: a cluster may start its hosts one after the other.
MEETING_SECONDS = 300


_LOST = "Expected all {} processes until the end. Received: one of them was lost ({})"


class ProcessLost(RuntimeError):
    """Another process of the job ended or is out of reach."""


@final
@dataclass(frozen=True)
class Processes:
    """Which one of how many processes this is.

    Attributes:
        index: of this process, from 0.
        count: of all processes.
        devices: of all processes together; each takes as many rows as any other.
    """

    index: int = 0
    count: int = 1
    devices: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one process that writes files."""
        return self.index == 0

    @property
    def share(self) -> Share:
        """The part of every batch that is this process's."""
        return Share(self.index, self.count, self.devices)

    def from_first(self, arrays: Any) -> Any:
        """Return the arrays of the first process to all.

        Args:
            arrays: an array, or lists or tuples of them; in the other processes any of the same shapes.
        """
        if self.count == 1:
            return arrays
        from jax.experimental import multihost_utils

        return multihost_utils.broadcast_one_to_all(arrays, is_source=self.first)

    def text_from_first(self, text: str) -> str:
        """Return the text of the first process, at most 4,096 bytes, to all."""
        content = np.zeros(4096, "uint8")
        content[: len(text.encode())] = list(text.encode())
        return bytes(np.asarray(self.from_first(content))).rstrip(b"\0").decode()

    def check_alike(self, text: str, what: str) -> None:
        """Make sure that a text is the same in all processes.

        Raises:
            ConfigError: it is not.
        """
        if self.text_from_first(text) != text:
            raise ConfigError(
                f"Expected the same {what} in all {self.count} processes. "
                f"Received: others in process {self.index} than in process 0"
            )


def processes() -> Processes:
    """Return which process this is in Keras' present distribution; the only one where there is none."""
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.num_processes == 1:
        return Processes()
    import jax

    return Processes(jax.process_index(), distribution.num_processes, distribution.num_model_replicas)


@contextmanager
def joined(addresses: str, count: int, index: int) -> Iterator[Processes]:
    """Join a job; models that are made inside are trained by all of its processes.

    It must come before JAX computes anything, and once in a process. `keras.distribution.initialize` would do
    the same, but cannot say how soon a lost process is noticed.

    Args:
        addresses: `host:port` of process 0, which the others must reach; with commas those of all.
        count: of processes.
        index: of this one, from 0.

    Raises:
        ProcessLost: the processes did not meet, or one was lost. What lost the connection to process 0, or
            sent no heartbeats, is ended by JAX itself, with SIGABRT.
    """
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would keep SIGTERM from ending a process.
    jax.config.update("jax_enable_preemption_service", False)
    first = addresses.split(",")[0]
    try:
        jax.distributed.initialize(
            first,
            count,
            index,
            initialization_timeout=MEETING_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
        distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    except jax.errors.JaxRuntimeError as error:
        raise ProcessLost(
            f"Expected {count} processes to meet at {first}. Received: {str(error).splitlines()[0]}"
        ) from error
    keras.distribution.set_distribution(distribution)
    try:
        yield processes()
        # All wait here until all are done; afterwards the first can work on for itself.
        jax.distributed.shutdown()
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not _is_loss(error):
            raise
        raise ProcessLost(_LOST.format(count, _reason(error))) from error
    finally:
        keras.distribution.set_distribution(None)


@contextmanager
def losses_named(job: Processes, kept: Callable[[], str]) -> Iterator[None]:
    """Say what is kept when a process of the job is lost inside.

    Raises:
        ProcessLost: one was.
    """
    if job.count == 1:
        yield
        return
    import jax

    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not _is_loss(error):
            raise
        raise ProcessLost(f"{_LOST.format(job.count, _reason(error))}; {kept()}") from error


def _is_loss(error: Exception) -> bool:
    """Say whether an error is of the connections; a failed gather is a `ValueError` in JAX."""
    return not isinstance(error, ValueError) or "Gloo" in str(error)


def _reason(error: Exception) -> str:
    """Return the innermost of the reasons that XLA gives."""
    return str(error).rpartition("Error dispatching computation: ")[2].splitlines()[0][:150]


@contextmanager
def alone() -> Iterator[None]:
    """Compute in this process alone: what is made and called inside needs no other process."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)
