"""agent.runtime.queues: bounded, with a drop rule and a counter."""

import threading
from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.queues import LatestFrame, PacketQueue
from drivers.media import Frame, Packet

PLANE = np.zeros((2, 2), dtype=np.uint8)


def frame(seq: int) -> Frame:
    return Frame(seq=seq, t_ns=seq, y=PLANE, u=PLANE[:1, :1], v=PLANE[:1, :1])


def packet(t_ns: int, *, is_key: bool, size: int = 1) -> Packet:
    return Packet(t_ns=t_ns, pts_ns=t_ns, dts_ns=t_ns, is_key=is_key, data=bytes(size))


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    latest = LatestFrame()
    for seq in range(3):
        latest.put(frame(seq))
    taken = latest.take(0)
    assert taken is not None
    assert taken.seq == 2
    assert latest.replaced == 2
    assert latest.take(0) is None


def test_a_late_frame_waits_for_the_one_before() -> None:
    latest = LatestFrame()
    latest.put(frame(0))
    taker = threading.Thread(target=lambda: latest.take(0))
    taker.start()
    latest.put(msgspec.structs.replace(frame(1), is_late=True))
    taker.join()
    taken = latest.take(0)
    assert taken is not None
    assert (taken.seq, latest.replaced) == (1, 0)
    latest.put(frame(2))
    latest.put(msgspec.structs.replace(frame(3), is_late=True))
    assert latest.replaced == 1, "no frame was taken: the writer waits no longer"


def test_an_overflow_drops_to_the_next_keyframe_and_reports_the_gap() -> None:
    gaps: list[tuple[int, int]] = []
    queue = PacketQueue(3, lambda begin, end: gaps.append((begin, end)))
    kept = [queue.put(packet(t, is_key=t in (0, 5))) for t in range(4)]
    assert kept == [True, True, True, False]
    assert [p.t_ns for p in queue.drain()] == [0, 1, 2]
    assert not queue.put(packet(4, is_key=False)), "no decoder can begin here"
    assert queue.put(packet(5, is_key=True))
    assert gaps == [(3, 5)]
    assert queue.dropped == 2


def test_a_gap_without_a_final_keyframe_is_reported_at_the_end() -> None:
    gaps: list[tuple[int, int]] = []
    queue = PacketQueue(2, lambda begin, end: gaps.append((begin, end)))
    for t in range(5):
        queue.put(packet(t, is_key=t == 0))
    queue.close()
    queue.close()
    assert gaps == [(2, 4)], "and once"


def test_the_queue_reports_a_waiting_keyframe_until_it_is_taken() -> None:
    queue = PacketQueue(100, lambda _begin, _end: None)
    queue.put(packet(0, is_key=False))
    assert not queue.has_keyframe
    queue.put(packet(1, is_key=True))
    queue.put(packet(2, is_key=False))
    assert queue.has_keyframe
    queue.drain()
    assert not queue.has_keyframe


def test_a_keyframe_ends_the_wait_for_one_and_so_does_a_stop() -> None:
    queue = PacketQueue(100, lambda _begin, _end: None)
    stopping = threading.Event()
    waiting = threading.Thread(target=queue.wait_for_keyframe, args=(3600.0, stopping))
    waiting.start()
    queue.put(packet(0, is_key=False))
    queue.put(packet(1, is_key=True))
    waiting.join(60)
    assert not waiting.is_alive()
    queue.drain()
    waiting = threading.Thread(target=queue.wait_for_keyframe, args=(3600.0, stopping))
    waiting.start()
    stopping.set()
    queue.wake()
    waiting.join(60)
    assert not waiting.is_alive()


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.booleans()), max_size=60),
    st.integers(1, 12),
)
def test_packets_leave_the_queue_decodable_in_order_and_bounded(
    steps: list[tuple[bool, int, bool]], bound: int
) -> None:
    gaps: list[tuple[int, int]] = []
    queue = PacketQueue(bound, lambda begin, end: gaps.append((begin, end)))
    out: list[Packet] = []
    offered = [packet(0, is_key=True)]
    queue.put(offered[0])
    for t_ns, (is_key, size, drain) in enumerate(steps, start=1):
        offered.append(packet(t_ns, is_key=is_key, size=size))
        queue.put(offered[-1])
        if drain:
            taken = queue.drain()
            assert sum(len(p.data) for p in taken) <= bound
            out += taken
    out += queue.drain()
    assert len(out) + queue.dropped == len(offered)
    for before, after in pairwise(out):
        assert after.t_ns == before.t_ns + 1 or after.is_key
    assert all(any(p.t_ns == end for p in out) for _, end in gaps)
