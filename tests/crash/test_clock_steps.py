"""UTC steps of ten years both ways under a running agent: order and retention do not change."""

import signal
import threading
from pathlib import Path

import pytest

from agent.recording.segment_name import SegmentName, parse_segment_name
from tests.free_port import free_port
from tests.whole.rig import AgentBox, fake_camera_toml

WAIT_TURNS = 3000
STEPS = ("+3650d", "-3650d")
MORE = """
[record]
segment_s = 1
max_age_h = 1
"""


def library() -> str:
    """The library that libfaketime puts before libc."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("needs libfaketime: make setup-crash")
    return str(found[0])


def segments(box: AgentBox) -> list[SegmentName]:
    paths = sorted((box.folder / "state" / "footage" / "north").glob("*.mp4"))
    names = [parse_segment_name(path.name) for path in paths]
    return [name for name in names if name is not None]


def wait_for_more(box: AgentBox, count: int) -> None:
    moment = threading.Event()
    for _ in range(WAIT_TURNS):
        if len(segments(box)) >= count:
            return
        moment.wait(0.1)
    raise AssertionError(f"{len(segments(box))} segments, and no {count}: {box.log}")


def test_ten_years_forward_and_back_evict_nothing_and_change_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preload = library()
    step = tmp_path / "step"
    step.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", preload)
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(step))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    box = AgentBox(tmp_path / "box", f"mqtt://127.0.0.1:{free_port()}", fake_camera_toml())
    with (box.folder / "vigie.toml").open("a") as config:
        config.write(MORE)
    try:
        box.start()
        wait_for_more(box, 1)
        for wanted in STEPS:
            aside = tmp_path / "step.new"
            aside.write_text(f"{wanted}\n")
            aside.rename(step)
            wait_for_more(box, len(segments(box)) + 2)
        assert box.stop(signal.SIGTERM) == 0
    finally:
        box.kill()
    names = segments(box)
    assert [name.counter for name in names] == list(range(1, len(names) + 1))
    assert [name.begin_ms for name in names] == sorted(name.begin_ms for name in names)
    years = {name.utc.year for name in names}
    assert max(years) - min(years) >= 19, "the clock was stepped"
