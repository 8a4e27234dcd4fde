"""`digitvae train --distributed`: one process of a job of several, and how it ends when another is lost."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, final

from digitvae.cli.common import from_one, from_zero, guarded
from digitvae.config import ConfigError

_VARIABLE = "KERAS_DISTRIBUTION_"
# flag, argument, Keras' variable, reader, help
_FLAGS: list[tuple[str, str, Callable[[str], Any], str]] = [
    ("--job-addresses", "JOB_ADDRESSES", str, "host:port of process 0, or of all with commas between"),
    ("--num-processes", "NUM_PROCESSES", from_one, "number of processes"),
    ("--process-id", "PROCESS_ID", from_zero, "number of this one, from 0"),
]


@final
@dataclass(frozen=True)
class Job:
    """Where the processes meet, how many there are, and which one this is, from 0."""

    addresses: str
    count: int
    index: int

    def joined(self) -> AbstractContextManager[Any]:
        """Join it; what is trained inside is trained by all processes."""
        from digitvae.distributed import joined

        return joined(self.addresses, self.count, self.index)


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a training in several processes."""
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="train in several processes, on one host or many (--backend jax); each is started like this",
    )
    for flag, variable, read, text in _FLAGS:
        shown = f"{text} (default: {_VARIABLE}{variable})"
        parser.add_argument(flag, type=read, metavar=flag[2:].split("-")[1].upper(), help=shown)


def job_of(arguments: argparse.Namespace) -> Job | None:
    """Return the job that the options and Keras' variables describe, None without `--distributed`.

    Raises:
        ConfigError: something is missing, or does not go together.
    """
    values = {flag: getattr(arguments, flag[2:].replace("-", "_")) for flag, *_ in _FLAGS}
    if not arguments.distributed:
        if given := [flag for flag, value in values.items() if value is not None]:
            raise ConfigError(f"Expected {', '.join(given)} with --distributed. Received: no --distributed")
        return None
    if (backend := arguments.backend or os.environ.get("KERAS_BACKEND") or "tensorflow") != "jax":
        raise ConfigError(f"Expected --backend jax with --distributed. Received: {backend}")
    if arguments.watch:
        raise ConfigError("Expected --distributed without --watch. Received: both")
    for flag, variable, read, _ in _FLAGS:
        if values[flag] is None:
            text = os.environ.get(_VARIABLE + variable)
            if not text:
                raise ConfigError(
                    f"Expected {flag} or {_VARIABLE}{variable} with --distributed. Received: neither"
                )
            try:
                values[flag] = read(text)
            except argparse.ArgumentTypeError as error:
                raise ConfigError(f"{error} ({_VARIABLE}{variable})") from None
    job = Job(*values.values())
    places = job.addresses.split(",")
    if len(places) not in (1, job.count):
        raise ConfigError(
            f"Expected one address, or one for each of {job.count} processes. Received: {len(places)}"
        )
    host, _, port = places[0].rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"Expected host:port as the address of process 0. Received: {places[0]}")
    if job.index >= job.count:
        raise ConfigError(
            f"Expected a process id from 0 to {job.count - 1} of {job.count} processes. Received: {job.index}"
        )
    return job


def watched(work: Callable[[Callable[[Any], None]], None], job: Job) -> None:
    """Do the work in a process of its own, and say in one line when it ends because another one was lost.

    JAX ends a process that lost the others from within, by SIGABRT and a page of C++, where Python cannot
    speak. So this process waits, and passes interrupts on.

    Args:
        work: takes a function to call with the run when its folder is there.
        job: what it belongs to.

    Raises:
        RuntimeError: the process was ended by a signal.
        SystemExit: it failed, and has said why.
    """
    alive, keep_alive = os.pipe()
    told, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing heavy is imported yet, and no thread runs.
    child = os.fork()
    if child == 0:
        os.close(keep_alive)
        os.close(told)

        def started(run: Any) -> None:
            os.write(tell, os.fsencode(str(run)))

        _be_the_child(lambda: work(started), alive)
        return
    os.close(alive)
    os.close(tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code > 0:
        raise SystemExit(code)
    if code == 0:
        return
    folder = os.fsdecode(os.read(told, 4096))
    kept = f"; the finished epochs are kept, --resume {folder} goes on from there" if folder else ""
    if code == -signal.SIGABRT:
        raise RuntimeError(
            f"Expected all {job.count} processes until the end. Received: one of them was lost{kept}"
        )
    raise RuntimeError(
        f"Expected process {job.index} to end by itself. Received: {signal.Signals(-code).name}{kept}"
    )


def _be_the_child(work: Callable[[], None], alive: int) -> None:
    # In a group of its own: a terminal's Ctrl-C reaches the parent alone, which passes it on.
    os.setpgid(0, 0)

    def end_with_the_parent() -> None:
        os.read(alive, 1)  # until the parent, whose end of the pipe is the only one, is gone
        os._exit(1)

    threading.Thread(target=end_with_the_parent, daemon=True).start()
    # Python keeps the real ones; what C++ writes of connections would damage results, and what it writes of
    # lost processes helps no one.
    sys.stdout = os.fdopen(os.dup(1), "w")
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    with tempfile.TemporaryFile() as unheard:
        os.dup2(unheard.fileno(), 1)
        if "--debug" not in sys.argv:
            os.dup2(unheard.fileno(), 2)
    code = guarded(work, None)
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        # At a normal exit JAX would wait for the others, minutes long.
        os._exit(code)
