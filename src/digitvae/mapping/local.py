"""Workers on this machine: a process each. One that dies is replaced, and its shard done again.

`concurrent.futures` gives up all processes when one dies, and leaves them behind when their parent is killed.
Here each has a pipe of its own: it ends when the other end of the pipe is gone.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from digitvae.mapping.job import THREADS, Job, Worker
from digitvae.shards import ShardFile

MOST_DEATHS = 5
"""Processes that may die at one shard before it is given up."""


class _Process:
    """A process, and the shard that it does."""

    def __init__(self, job: Job, shard: ShardFile):
        context = get_context("spawn")  # a fork would share threads and locks of its parent
        self.pipe, other = context.Pipe()
        with _one_thread():
            self.process: BaseProcess = context.Process(target=_serve, args=(job, other), daemon=True)
            self.process.start()
        other.close()
        self.give(shard)

    def give(self, shard: ShardFile) -> None:
        """Hand a shard over; if the process is dead, that is noticed when it is read from."""
        self.shard = shard
        with suppress(OSError):
            self.pipe.send(shard)

    def end(self) -> None:
        """End the process now: what it has written is whole."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


def mapped(job: Job, shards: Sequence[ShardFile], workers: int) -> Iterator[dict[str, Any]]:
    """Do shards in processes, and yield their manifests as they come.

    Args:
        job: what to do.
        shards: what with.
        workers: number of processes.

    Raises:
        RuntimeError: several processes died at one shard.
        Exception: what a worker raised, of the same type and message.
    """
    waiting, deaths = deque(shards), Counter[str]()
    processes: list[_Process] = []
    try:
        while waiting and len(processes) < workers:
            processes.append(_Process(job, waiting.popleft()))
        while processes:
            ready = wait([process.pipe for process in processes])
            for process in [process for process in processes if process.pipe in ready]:
                try:
                    found = process.pipe.recv()
                except (EOFError, OSError):
                    processes.remove(process)
                    processes.append(_replaced(job, process, deaths))
                    continue
                if isinstance(found, Exception):
                    raise found
                if waiting:
                    process.give(waiting.popleft())
                else:
                    processes.remove(process)
                    process.end()
                yield found
    finally:
        for process in processes:
            process.end()


def _replaced(job: Job, process: _Process, deaths: Counter[str]) -> _Process:
    """Start a process in place of a dead one."""
    process.end()
    shard = process.shard
    deaths[shard.name] += 1
    if deaths[shard.name] >= MOST_DEATHS:
        raise RuntimeError(
            f"Expected a worker that lives. Received: {MOST_DEATHS} in a row that died at {shard.name} "
            f"(exit code {process.process.exitcode}; -9 is often too little memory)"
        )
    return _Process(job, shard)


def _serve(job: Job, pipe: Connection) -> None:
    """Do the shards that come through a pipe, until its other end is gone."""
    # An interrupt from the keyboard reaches all processes; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker = Worker(job)
        while True:
            pipe.send(worker(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        pipe.send(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """Return an exception of a plain type with the same message: others may not survive the journey."""
    for kind in (OSError, ImportError, MemoryError, ValueError):
        if isinstance(error, kind):
            return kind(str(error))
    return RuntimeError(f"unexpected {type(error).__name__} in a worker: {error}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that are started here compute in one thread each."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(THREADS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
