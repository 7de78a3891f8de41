"""Films counted in processes, one film a process, which end with the run that started them."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import msgspec

from agent.base.errors import UserError
from agent.base.view_condition import ViewLimit
from agent.detection.model_card import ModelRefused
from centre.count.film_count import FilmJob, count_film
from centre.count.film_list import ListedFilm
from drivers.child.main import die_with_parent
from drivers.errors import DriverError

_SPAWN = multiprocessing.get_context("spawn")


class FilmProgress(msgspec.Struct, frozen=True):
    """A film is played up to this time, and its view has these limits now."""

    played_s: float
    limits: tuple[ViewLimit, ...]


class FilmFailure(msgspec.Struct, frozen=True):
    """A film that could not be counted, and why in one line."""

    message: str


OnFilmProgress = Callable[[ListedFilm, FilmProgress], None]


class _Running(msgspec.Struct, frozen=True):
    job: FilmJob
    process: SpawnProcess


def run_jobs(
    jobs: Sequence[FilmJob], workers: int, on_progress: OnFilmProgress
) -> list[FilmFailure]:
    """Count films, `workers` at the same time, and return the failures. All processes are ended if it raises."""
    waiting = list(reversed(jobs))
    running: dict[Connection, _Running] = {}
    failures: list[FilmFailure] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                connection, one = _start(waiting.pop())
                running[connection] = one
            for connection in set(running).intersection(wait(list(running))):
                one = running[connection]
                try:
                    message = connection.recv()
                except EOFError:
                    del running[connection]
                    connection.close()
                    one.process.join()
                    if one.process.exitcode:
                        failures.append(_crash(one))
                    continue
                if isinstance(message, FilmFailure):
                    failures.append(message)
                else:
                    on_progress(one.job.film, message)
    finally:
        for one in running.values():
            one.process.kill()
        for connection, one in running.items():
            one.process.join()
            connection.close()
    return failures


def _crash(one: _Running) -> FilmFailure:
    code = one.process.exitcode or 0
    end = f"signal {-code}" if code < 0 else f"exit status {code}"
    return FilmFailure(f"{one.job.film.path}: its process ended with {end}")


def _start(job: FilmJob) -> tuple[Connection, _Running]:
    receiver, sender = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_work, args=(job, sender, os.getpid()), daemon=True)
    with _interrupt_blocked():
        process.start()
    sender.close()
    return receiver, _Running(job, process)


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Start a process in which Ctrl-C is blocked: it is sent to all of a terminal, and this process ends the others."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _work(job: FilmJob, sender: Connection, parent_pid: int) -> None:
    """Count one film, in a process of its own."""
    die_with_parent(parent_pid)
    try:
        count_film(job, lambda played_s, limits: sender.send(FilmProgress(played_s, limits)))
    except (UserError, DriverError, ModelRefused) as error:
        sender.send(FilmFailure(f"{error}"))
    except OSError as error:
        sender.send(FilmFailure(f"{job.film.path}: {error.strerror or error}"))
