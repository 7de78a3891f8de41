"""A change of files that is killed before each of its steps, by a process that dies there."""

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

MAX_STEPS = 300
STEP_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}
STEP_CALLS = ("fsync", "fdatasync", "write")
EXIT_KILLED = 9

FolderCall = Callable[[Path, str], None]


def kill_at_each_step(
    root: Path, kind: str, *, prepare: FolderCall, change: FolderCall, check: FolderCall
) -> int:
    """Kill a change of this kind at each step, on a copy of the prepared folder; return its number of steps.

    `check` gets each folder that the kill left, and the one of the whole change. The three are functions of a
    module: they run in a process of its own, which may be forked since it has one thread.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_kill_at_each_step, root, kind, prepare, change, check).result(300)


def _kill_at_each_step(
    root: Path, kind: str, prepare: FolderCall, change: FolderCall, check: FolderCall
) -> int:
    before = root / "before"
    before.mkdir()
    prepare(before, kind)
    for steps in range(MAX_STEPS):
        folder = root / str(steps)
        shutil.copytree(before, folder)
        child = os.fork()
        if not child:
            _change_until_killed(folder, kind, change, steps)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert exit_code in (0, EXIT_KILLED), (exit_code, steps)
        try:
            check(folder, kind)
        except Exception as error:
            raise AssertionError(f"{kind}, killed at step {steps}: {error!r}") from error
        if exit_code == 0:
            return steps
    raise AssertionError(f"{kind} takes more than {MAX_STEPS} steps")


def _change_until_killed(folder: Path, kind: str, change: FolderCall, steps: int) -> None:
    left = steps

    def count(event: str) -> None:
        nonlocal left
        left -= event in STEP_EVENTS
        if left < 0:
            os._exit(EXIT_KILLED)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            count("open")
            return function(*arguments)

        return call

    exit_code = 1
    try:
        sys.addaudithook(lambda event, _: count(event))
        for name in STEP_CALLS:
            setattr(os, name, counted(getattr(os, name)))
        change(folder, kind)
        exit_code = 0
    finally:
        os._exit(exit_code)
