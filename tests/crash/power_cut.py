"""One recorded run of the box, and what is broken in each of many power cuts of it."""

import logging
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import msgspec

from tests.crash.block_log import CrashState, Kind, Record, crash_states, read_log
from tests.crash.disk import DISK_BYTES, ROOT, logged, make_ext4, mounted, run
from tests.crash.film import encode, pictures
from tests.crash.promises import broken_promises, read_marks

KILL_AFTER_BYTES = (100_000, 3_000_000)
"""A life is killed when it has had so much written."""


class Run(msgspec.Struct, frozen=True):
    """A recorded run: the disk before it, and all that was written and flushed."""

    film: Path
    base: bytes
    records: list[Record]
    lives: int

    def tally(self) -> Counter[str]:
        """How many writes, flushes and marks there were."""
        return Counter(item.kind.name for item in self.records)


class Verdict(msgspec.Struct):
    """What the crash states came to. `broken` has a line for each promise that a state broke."""

    states: int = 0
    with_lost_writes: int = 0
    states_with_losses: int = 0
    promises: int = 0
    broken: list[str] = msgspec.field(default_factory=list)

    def summary(self) -> str:
        """In one line."""
        return (
            f"{self.promises} promises in {self.states} states, {self.with_lost_writes} of which "
            f"had lost writes; {len(self.broken)} broken in {self.states_with_losses} states"
        )


def only_dropping(calls: str) -> tuple[str, ...]:
    """What runs a program in which these calls say that they are done, and are not. With -D the
    process that is killed is the program, and not strace.
    """
    strace = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null")
    return (*strace, "-e", f"trace={calls}", "-e", f"inject={calls}:retval=0")


def record_run(
    folder: Path, lives: int, packets: int, seed: int, wrap: tuple[str, ...] = ()
) -> Run:
    """Let a box record on a logged ext4; all its lives but the last are killed at some moment."""
    rng = random.Random(seed)
    film = encode(folder / "film.mp4")
    image = make_ext4(folder / "disk.img", DISK_BYTES)
    base = image.read_bytes()
    with logged(folder, image, folder / "log") as (mount, marks):
        for life in range(lives):
            command = [*wrap, sys.executable, "-m", "tests.crash.recorder_child"]
            command += [*map(str, (film, mount / "box", marks, life, packets))]
            with subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as child:
                assert child.stdout is not None
                assert child.stderr is not None
                try:
                    if life < lives - 1:
                        _wait_for_bytes(folder / "log", rng.randrange(*KILL_AFTER_BYTES))
                    else:
                        assert child.stdout.readline() == "through\n", child.stderr.read()
                finally:
                    child.kill()
    records = read_log(folder / "log")
    return Run(film, base, records, lives)


def _wait_for_bytes(log: Path, growth_bytes: int) -> None:
    begin_bytes = log.stat().st_size
    moment = threading.Event()
    for _ in range(6000):
        if log.stat().st_size - begin_bytes >= growth_bytes:
            return
        moment.wait(0.01)
    raise AssertionError("the recorder writes nothing")


def judge(folder: Path, recorded: Run, states: int, seed: int) -> Verdict:
    """Cut the power at so many moments of the run, and look at what is left each time."""
    rng = random.Random(seed)
    cuts = [_moment(recorded.records, rng) for _ in range(states)]
    film = pictures(recorded.film)
    verdict = Verdict()
    image = folder / "state.img"
    for state in crash_states(recorded.base, recorded.records, cuts, rng):
        _write_image(image, state)
        run_fsck = verdict.states % 10 == 0
        verdict.states += 1
        verdict.with_lost_writes += state.lost_writes > 0
        verdict.promises += read_marks(state.marks).count
        try:
            broken = _look(folder, image, state, film, recorded.lives)
            if run_fsck:
                run("e2fsck", "-fn", image)
        except (subprocess.CalledProcessError, OSError) as error:
            broken = [f"{error!r}: {getattr(error, 'stdout', '')}"]
        verdict.states_with_losses += bool(broken)
        verdict.broken += [f"seed {seed}, cut {state.cut}: {line}" for line in broken]
    return verdict


def _moment(records: list[Record], rng: random.Random) -> int:
    """A place of the log: any one up to the last mark, or one where a write is on its way."""
    last_mark = max(at for at, item in enumerate(records) if item.kind is Kind.MARK)
    writes = [at + 1 for at in range(last_mark) if records[at].kind is Kind.WRITE]
    return rng.choice([rng.randrange(1, last_mark + 2), rng.choice(writes or [1])])


def _look(folder: Path, image: Path, state: CrashState, film: list[str], life: int) -> list[str]:
    logging.disable(logging.CRITICAL)
    try:
        with mounted(image, folder / "state") as point:
            return broken_promises(point / "box", state.marks, film, life)
    finally:
        logging.disable(logging.NOTSET)


def _write_image(image: Path, state: CrashState) -> None:
    with image.open("r+b" if image.exists() else "w+b") as file:
        file.write(state.durable)
        for offset, data in state.kept:
            os.pwrite(file.fileno(), data, offset)
