"""drivers.child, the pure modules: messages, bounded queues, checks of media, memory of frames."""

import contextlib
import io
import os
import subprocess
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.child import messages
from drivers.child.bounded_queue import MediaQueue, PacketBudget
from drivers.child.camera import MediaChecks
from drivers.child.frame_memory import FrameMemory, create_memory, planar_views
from drivers.child.messages import SlotFree, frame_bytes
from drivers.child.process import CpuMeter, is_child
from drivers.contracts import CameraReadings
from drivers.errors import DriverError
from drivers.local_wire import HEADER, pack_message
from drivers.media import NS_PER_S, Frame, Packet, Point, StreamInfo


def _sized(data: bytes) -> bytes:
    return HEADER.pack(len(data), 0) + data


def packet(size: int, *, key: bool = False) -> Packet:
    return Packet(t_ns=0, pts_ns=0, dts_ns=0, is_key=key, data=b"x" * size)


def frame(seq: int) -> Frame:
    plane = np.zeros((2, 2), np.uint8)
    return Frame(seq=seq, t_ns=seq, y=plane, u=plane, v=plane)


def test_a_full_queue_drops_up_to_the_next_keyframe() -> None:
    gate = PacketBudget(max_bytes=10)
    first = packet(6, key=True)
    assert gate.try_admit(first)
    assert not gate.try_admit(packet(6))
    assert gate.needs_keyframe
    gate.release(first)
    assert not gate.try_admit(packet(1))
    assert gate.try_admit(packet(9, key=True))
    assert not gate.needs_keyframe
    assert gate.try_admit(packet(1))
    assert gate.dropped == 2


def test_the_newest_frames_win_and_messages_are_never_dropped() -> None:
    backlog: MediaQueue[Packet | Frame | str] = MediaQueue(max_frames=2)
    for item in ("one", frame(1), "two", frame(2), frame(3), "three"):
        backlog.put(item)
    taken = [backlog.get(0) for _ in range(6)]
    assert [item.seq if isinstance(item, Frame) else item for item in taken] == [
        "one",
        "two",
        2,
        3,
        "three",
        None,
    ]
    assert backlog.dropped_frames == 1


def test_a_closed_queue_returns_its_remaining_items_without_waiting() -> None:
    backlog: MediaQueue[str] = MediaQueue(max_frames=1)
    backlog.put("last")
    backlog.close()
    assert backlog.get(3600) == "last"
    assert backlog.get(3600) is None


MESSAGES: tuple[messages.MediaMessage, ...] = (
    messages.Opened(
        info=StreamInfo(codec="h264", width_px=4, height_px=2, fps=25.0, masked=True),
        frame_width_px=2,
        frame_height_px=2,
        slots=4,
        encoder="libav",
        missing_controls=("AfMode",),
    ),
    messages.EncodedPacket(packet=packet(1000, key=True)),
    messages.FrameReady(slot=3, seq=7, t_ns=2**62),
    messages.ReadingsUpdate(readings=CameraReadings(lux=3.5)),
    messages.MasksQuery(number=9, t_ns=5),
    messages.Heartbeat(),
    messages.Failed(kind="busy", message="in use", is_mask_error=True),
)


def test_messages_arrive_as_they_were_sent_and_a_cut_one_is_the_end() -> None:
    sent = b"".join(pack_message(message) for message in MESSAGES)
    stream = io.BytesIO(sent)
    assert (
        tuple(iter(lambda: messages.read_child_message(stream, messages.media_decoder), None))
        == MESSAGES
    )
    cut = io.BytesIO(pack_message(MESSAGES[0])[:-1])
    assert messages.read_child_message(cut, messages.media_decoder) is None


def test_the_parents_messages_arrive_as_they_were_sent() -> None:
    settings = messages.MediaSettings(
        options=messages.to_raw(SlotFree(slot=9)),
        packets=True,
        frames_fps=float("inf"),
        masks=((Point(0, 0), Point(1, 0), Point(1, 1)),),
    )
    start = messages.Start(display_name="camera 'north'", settings=messages.to_raw(settings))
    received = messages.unpack_parent_message(messages.pack_parent_message(start))
    assert isinstance(received, messages.Start)
    assert received.display_name == start.display_name
    inner = messages.from_raw(received.settings, messages.MediaSettings)
    assert inner.masks == settings.masks
    assert messages.from_raw(inner.options, SlotFree) == SlotFree(slot=9)
    for message in (SlotFree(slot=2), messages.MasksReply(number=1, masks=settings.masks)):
        assert messages.unpack_parent_message(messages.pack_parent_message(message)) == message


HOSTILE: dict[str, bytes] = {
    "a length of 4 GB": HEADER.pack(2**32 - 1, 0),
    "an open file that does not come": HEADER.pack(1, 1) + b"\x80",
    "no message": _sized(b"\xc1\xc1\xc1"),
    "an unknown message": _sized(msgspec.msgpack.encode({"type": "shell", "command": "x"})),
    "a frame in slot -1": _sized(
        msgspec.msgpack.encode({"type": "frame", "slot": -1, "seq": 0, "t_ns": 0})
    ),
    "a picture of 100,000 pixels a side": _sized(
        msgspec.msgpack.encode(
            {
                "type": "opened",
                "info": {"codec": "h264", "width_px": 4, "height_px": 2, "fps": 1.0},
                "frame_width_px": 100_000,
                "frame_height_px": 1,
                "slots": 4,
            }
        )
    ),
    "text that is no UTF-8": _sized(b"\x81\xa4type\xa2\xff\xfe"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_childs_message_is_one_of_two_errors(name: str) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        messages.read_child_message(io.BytesIO(HOSTILE[name]), messages.media_decoder)


@given(st.binary(max_size=200))
def test_no_bytes_of_a_child_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        messages.read_child_message(io.BytesIO(_sized(data)), messages.media_decoder)


def opened(**changes: Any) -> messages.Opened:
    info = StreamInfo(codec="h264", width_px=4, height_px=2, fps=25.0)
    return messages.Opened(
        info=msgspec.structs.replace(info, **changes),
        frame_width_px=4,
        frame_height_px=2,
        slots=4,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": float("nan")},
        {"fps": float("inf")},
        {"fps": -1.0},
        {"width_px": 0},
        {"height_px": 1_000_000},
        {"extradata": b"x" * 100_000},
        {"codec": "h264\n"},
        {"codec": "x" * 100},
    ],
)
def test_wrong_parameters_of_a_stream_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DriverError, match="wrong parameters") as caught:
        MediaChecks("camera 'x'", lambda: 0).check_opened(opened(**changes), is_first=True)
    assert caught.value.kind == "crashed"


def test_a_stream_is_opened_once() -> None:
    checks = MediaChecks("camera 'x'", lambda: 0)
    checks.check_opened(opened(), is_first=True)
    with pytest.raises(DriverError, match="wrong parameters"):
        checks.check_opened(opened(), is_first=False)


def timed(t_ns: int, pts_ns: int, dts_ns: int) -> Packet:
    return Packet(t_ns=t_ns, pts_ns=pts_ns, dts_ns=dts_ns, is_key=True, data=b"")


NOW_NS = 100 * NS_PER_S


@pytest.mark.parametrize(
    "second",
    [
        timed(60, 20, 10),  # its decoding time does not rise
        timed(60, 11, 12),  # it is shown before it is decoded
        timed(49, 12, 11),  # it arrived before the one before
        timed(NOW_NS + 2 * NS_PER_S, 12, 11),  # it has not arrived yet
    ],
)
def test_wrong_times_of_a_packet_are_refused(second: Packet) -> None:
    checks = MediaChecks("camera 'x'", lambda: NOW_NS)
    checks.check_packet(timed(50, 10, 10))
    with pytest.raises(DriverError, match="wrong times of a packet"):
        checks.check_packet(second)


@pytest.mark.parametrize(
    ("slot", "seq", "t_ns", "words"),
    [
        (4, 6, 60, "place"),
        (0, 5, 60, "times"),
        (0, 6, 49, "times"),
        (0, 6, NOW_NS + 2 * NS_PER_S, "times"),
    ],
)
def test_a_wrong_frame_is_refused(slot: int, seq: int, t_ns: int, words: str) -> None:
    checks = MediaChecks("camera 'x'", lambda: NOW_NS)
    checks.check_frame(messages.FrameReady(slot=0, seq=5, t_ns=50), slots=4)
    with pytest.raises(DriverError, match=f"wrong {words} of a frame"):
        checks.check_frame(messages.FrameReady(slot=slot, seq=seq, t_ns=t_ns), slots=4)


@given(st.integers(1, 40), st.integers(1, 40))
def test_planes_of_any_size_fill_the_memory_of_a_frame(width: int, height: int) -> None:
    flat = np.arange(frame_bytes(width, height)).astype(np.uint8)
    planes = planar_views(flat, width, height)
    assert planes[0].shape == (height, width)
    assert planes[1].shape == planes[2].shape == ((height + 1) // 2, (width + 1) // 2)
    assert b"".join(plane.tobytes() for plane in planes) == flat.tobytes()


def test_the_memory_of_frames_cannot_be_shrunk_once_it_is_sealed() -> None:
    fd = create_memory()
    try:
        FrameMemory.reserve(fd, 4, 2, slots=2)
        FrameMemory.seal(fd)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        memory = FrameMemory(fd, 4, 2, slots=2)
        assert memory.copy_planes(1)[0].shape == (2, 4)
        memory.close()
        with pytest.raises(ValueError, match="mmap length"):
            FrameMemory(fd, 400, 200, slots=2)
    finally:
        os.close(fd)


def test_a_child_may_use_a_core_but_not_all_of_them() -> None:
    clock_s, used_s = [0.0], [0.0]
    meter = CpuMeter(1.5, clock_s=lambda: clock_s[0], read_cpu_s=lambda _pid: used_s[0])
    clock_s[0], used_s[0] = 5.0, 10.0
    assert meter.excess(1) is None, "a window is not over yet"
    clock_s[0], used_s[0] = 10.0, 14.0
    assert meter.excess(1) is None
    clock_s[0], used_s[0] = 20.0, 34.0
    assert meter.excess(1) == "uses 2.0 processor cores; allowed: 1.5"


def test_a_process_that_has_ended_counts_as_a_child() -> None:
    """Its number may be another's soon: a request of it cannot be judged."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert is_child(process.pid)
    assert not is_child(os.getpid())
