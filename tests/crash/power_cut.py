"""One recorded run of the box, and what is broken in each of many power cuts of it."""

import logging
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from tests.crash.block_log import CrashState, LogRecord, RecordKind, crash_states, read_log
from tests.crash.disk import (
    DISK_BYTES,
    ROOT,
    logged_ext4,
    make_ext4,
    mounted,
    repair_ext4,
    run_command,
)
from tests.crash.promises import find_violations, read_marks
from tests.crash.video import picture_digests, write_video

KILL_AFTER_BYTES = (100_000, 3_000_000)
"""A life is killed when it has had so much written."""


class RecordedRun(msgspec.Struct, frozen=True):
    """A recorded run: the disk before it, and all that was written and flushed."""

    video: Path
    base: bytes
    records: list[LogRecord]
    lives: int

    def record_counts(self) -> Counter[str]:
        """How many writes, flushes and marks there were."""
        return Counter(item.kind.name for item in self.records)


class CrashReport(msgspec.Struct):
    """The result of the crash states. `broken` has a line for each promise that a state broke."""

    states: int = 0
    with_lost_writes: int = 0
    broken_states: int = 0
    promise_count: int = 0
    broken: list[str] = msgspec.field(default_factory=list)

    def summary(self) -> str:
        """In one line."""
        return (
            f"{self.promise_count} promises in {self.states} states, {self.with_lost_writes} of which "
            f"had lost writes; {len(self.broken)} broken in {self.broken_states} states"
        )


def strace_ignoring(calls: str) -> tuple[str, ...]:
    """Return the command that runs a program in which these calls report success and do nothing.

    With -D the process that is killed is the program, and not strace.
    """
    strace = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null")
    return (*strace, "-e", f"trace={calls}", "-e", f"inject={calls}:retval=0")


def record_run(
    folder: Path, lives: int, packets: int, seed: int, command_prefix: tuple[str, ...] = ()
) -> RecordedRun:
    """Let a box record on a logged ext4; all its lives but the last are killed at some moment."""
    rng = random.Random(seed)
    video = write_video(folder / "video.mp4")
    image = make_ext4(folder / "disk.img", DISK_BYTES)
    base = image.read_bytes()
    with logged_ext4(folder, image, folder / "log") as (mount, marks):
        for life in range(lives):
            command = [*command_prefix, sys.executable, "-m", "tests.crash.recorder_child"]
            command += [*map(str, (video, mount / "box", marks, life, packets))]
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
    return RecordedRun(video, base, records, lives)


def _wait_for_bytes(log: Path, growth_bytes: int) -> None:
    begin_bytes = log.stat().st_size
    never_set = threading.Event()
    for _ in range(6000):
        if log.stat().st_size - begin_bytes >= growth_bytes:
            return
        never_set.wait(0.01)
    raise AssertionError("the recorder writes nothing")


def check_crash_states(
    folder: Path, recorded_run: RecordedRun, states: int, seed: int
) -> CrashReport:
    """Cut the power at so many moments of the run, and look at what is left each time."""
    rng = random.Random(seed)
    cuts = [_random_cut(recorded_run.records, rng) for _ in range(states)]
    video = picture_digests(recorded_run.video)
    report = CrashReport()
    image = folder / "state.img"
    for state in crash_states(recorded_run.base, recorded_run.records, cuts, rng):
        state.write(image)
        run_fsck = report.states % 10 == 0
        report.states += 1
        report.with_lost_writes += state.lost_writes > 0
        report.promise_count += read_marks(state.marks).count
        try:
            broken = _check_state(folder, image, state, video, recorded_run.lives)
            if run_fsck:
                run_command("e2fsck", "-fn", image)
        except (subprocess.CalledProcessError, OSError) as error:
            broken = [f"{error!r}: {getattr(error, 'stdout', '')}"]
        report.broken_states += bool(broken)
        report.broken += [f"seed {seed}, cut {state.cut}: {line}" for line in broken]
    return report


def _random_cut(records: list[LogRecord], rng: random.Random) -> int:
    """A place of the log: any one up to the last mark, or one where a write is on its way."""
    last_mark = max(at for at, item in enumerate(records) if item.kind is RecordKind.MARK)
    writes = [at + 1 for at in range(last_mark) if records[at].kind is RecordKind.WRITE]
    return rng.choice([rng.randrange(1, last_mark + 2), rng.choice(writes or [1])])


def _check_state(
    folder: Path, image: Path, state: CrashState, video: list[str], life: int
) -> list[str]:
    logging.disable(logging.CRITICAL)
    try:
        repair_ext4(image)
        with mounted(image, folder / "state") as point:
            return find_violations(point / "box", state.marks, video, life)
    finally:
        logging.disable(logging.NOTSET)


def cut_at_writes(
    base: bytes, records: list[LogRecord], states: int, seed: int
) -> Iterator[CrashState]:
    """Disks that so many power cuts leave, one after the last mark and the others each at a write before it."""
    rng = random.Random(seed)
    done = max(at for at, item in enumerate(records) if item.kind is RecordKind.MARK)
    writes = [at + 1 for at in range(done) if records[at].kind is RecordKind.WRITE]
    cuts = [done + 1, *(rng.choice(writes) for _ in range(states - 1))]
    yield from crash_states(base, records, cuts, rng)


def check_states(
    folder: Path,
    states: Iterable[CrashState],
    find_broken: Callable[[Path, CrashState], Iterable[str]],
) -> tuple[list[str], Counter[str]]:
    """Repair and mount each disk; return a line for each promise that is not kept on it, and how many there were."""
    lines: list[str] = []
    seen: Counter[str] = Counter()
    image = folder / "state.img"
    for state in states:
        state.write(image)
        seen["lost writes"] += state.lost_writes > 0
        seen["states"] += 1
        try:
            repair_ext4(image)
            with mounted(image, folder / "state") as point:
                found = list(find_broken(point, state))
        except subprocess.CalledProcessError as error:
            found = [f"no file system any more: {error.stderr}"]
        lines += [f"cut {state.cut}: {line}" for line in found]
    return lines, seen
