"""Disks that fail: failing calls, a full disk, one that turns read-only. The whole recording box
continues, reports it, keeps what it had acknowledged, and records again.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.disk import ROOT, make_ext4, mounted, run_command, skip_unless_available
from tests.crash.promises import find_violations, read_marks
from tests.crash.video import picture_digests, write_video

LEAST_PACKETS = 1500
PACKETS = 90_000
"""A minute's worth on a disk that refuses all: the recorder is killed long before it is through."""
WELL_MARKS = 200
WAIT_TURNS = 3000
"""Five minutes at least: under strace the recorder of a machine under load is slow."""


class Recorder:
    """A recorder in its own process, and its marks so far."""

    def __init__(self, command: list[str], marks: Path) -> None:
        self._marks = marks
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
        )

    def marks(self) -> list[str]:
        if not self._marks.exists():
            return []
        whole, _, _ = self._marks.read_text().rpartition("\n")  # the last one may be on its way
        return whole.splitlines()

    def faults(self) -> list[str]:
        """The sets of fault codes that it was in, one after the other."""
        return [mark.split()[1] for mark in self.marks() if mark.startswith("faults ")]

    def wait_for(self, found: Callable[[], bool]) -> None:
        """Wait until the marks fulfil the condition; the recorder must stay alive."""
        moment = threading.Event()
        for _ in range(WAIT_TURNS):
            if found():
                return
            assert self._process.poll() is None, "the recorder has ended"
            moment.wait(0.1)
        raise AssertionError(f"it did not come: {self.faults()[-9:]}, {self.taken()} taken")

    def taken(self) -> int:
        return max(read_marks(self.marks()).last_packet_by_life.values(), default=0)

    def is_well(self) -> bool:
        """Whether no fault was raised for a while."""
        marks = self.marks()
        since = max(at for at, mark in enumerate(marks) if mark.startswith("faults "))
        return marks[since] == "faults -" and len(marks) - since > WELL_MARKS

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def recording(folder: Path, box: Path, wrap: tuple[str, ...] = ()) -> Iterator[Recorder]:
    video = folder / "video.mp4"
    if not video.exists():
        write_video(video)
    command = [*wrap, sys.executable, "-m", "tests.crash.recorder_child", str(video), str(box)]
    recorder = Recorder([*command, str(folder / "marks"), "0", str(PACKETS)], folder / "marks")
    try:
        yield recorder
    finally:
        recorder.kill()


@pytest.mark.parametrize(
    ("calls", "error", "when"),
    [
        ("write,pwrite64", "EIO", "150..600+15"),
        ("write,pwrite64", "ENOSPC", "150..600+15"),
        ("fsync", "EIO", "12..160+7"),
        ("fdatasync", "EIO", "20..300+15"),
        ("fdatasync", "ENOSPC", "20..300+15"),
        ("rename,renameat,renameat2", "EIO", "4..60+3"),
        ("rename,renameat,renameat2", "ENOSPC", "4..60+3"),
    ],
)
def test_failing_disk_calls_lose_nothing_acknowledged(
    tmp_path: Path, calls: str, error: str, when: str
) -> None:
    skip_unless_available("strace")
    strace = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(tmp_path / "strace"))
    rules = ("-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}")
    with recording(tmp_path, tmp_path / "box", (*strace, *rules)) as recorder:
        recorder.wait_for(lambda: recorder.taken() > LEAST_PACKETS)
        recorder.wait_for(recorder.is_well)
        recorder.kill()
        faults, marks = recorder.faults(), recorder.marks()
    injected = (tmp_path / "strace").read_text().count("(INJECTED)")
    assert injected > 2, "calls have failed"
    assert any("STO-02" in codes for codes in faults), faults
    assert (
        find_violations(
            tmp_path / "box", marks, picture_digests(tmp_path / "video.mp4"), 9, allow_gaps=True
        )
        == []
    )


def test_recording_on_a_filled_disk_resumes_when_there_is_room(
    tmp_path: Path,
) -> None:
    skip_unless_available()
    image = make_ext4(tmp_path / "small.img", 16 << 20)
    with mounted(image, tmp_path / "small") as disk:
        with recording(tmp_path, disk / "box") as recorder:
            recorder.wait_for(lambda: recorder.taken() > 100)
            fill(disk / "someone-elses.log")
            recorder.wait_for(lambda: "STO-02" in recorder.faults()[-1])
            before = recorder.taken()
            (disk / "someone-elses.log").unlink()
            recorder.wait_for(lambda: recorder.faults()[-1] == "-")
            recorder.wait_for(lambda: recorder.taken() > before + 200)
            recorder.kill()
            marks = recorder.marks()
        video = picture_digests(tmp_path / "video.mp4")
        assert find_violations(disk / "box", marks, video, 9, allow_gaps=True) == []


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size_bytes in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size_bytes))
            except OSError:
                pass


def test_a_disk_that_turns_read_only_is_a_fault_and_the_agent_continues(tmp_path: Path) -> None:
    skip_unless_available()
    image = make_ext4(tmp_path / "disk.img", 48 << 20)
    video = write_video(tmp_path / "video.mp4")
    with mounted(image, tmp_path / "disk") as disk, recording(tmp_path, disk / "box") as recorder:
        recorder.wait_for(lambda: recorder.taken() > 100)
        run_command("mount", "-o", "remount,abort", disk)  # what ext4 does at an error of the disk
        recorder.wait_for(lambda: "STO-02" in recorder.faults()[-1])
        at_fault = recorder.taken()
        recorder.wait_for(lambda: recorder.taken() > at_fault + 300)
        assert "STO-02" in recorder.faults()[-1]
        recorder.kill()
        marks = recorder.marks()
    subprocess.run(["e2fsck", "-fy", str(image)], check=False, capture_output=True)
    with mounted(image, tmp_path / "disk") as disk:
        assert (
            find_violations(disk / "box", marks, picture_digests(video), 9, allow_gaps=True) == []
        )
