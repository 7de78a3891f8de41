"""drivers.timeline: selection of pictures, and the times of a live stream's packets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.av_stream import FrameSelector
from drivers.timeline import MAX_JUMP_NS, StreamTimeline

MS = 1_000_000
S = 1_000 * MS


@pytest.mark.parametrize(
    ("stream_fps", "wanted_fps", "taken"),
    [
        (10, 2, [0, 5, 10, 15]),
        (25, 10, [0, 2, 5, 7, 10, 12, 15, 17]),
        (15, 10, [0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]),
        (10, 10, list(range(20))),
        (5, 10, list(range(20))),
        (10, float("inf"), list(range(20))),
        (10, 0, []),
    ],
)
def test_pictures_are_taken_on_a_grid(stream_fps: int, wanted_fps: float, taken: list[int]) -> None:
    pick = FrameSelector(wanted_fps)
    assert [n for n in range(20) if pick.select(n * S // stream_fps)] == taken


@given(
    steps_ms=st.lists(st.integers(1, 400), min_size=1, max_size=200),
    fps=st.floats(0.5, 30),
)
def test_no_more_pictures_are_taken_than_requested(steps_ms: list[int], fps: float) -> None:
    pick = FrameSelector(fps)
    t_ns, taken = 0, int(pick.select(0))
    for step_ms in steps_ms:
        t_ns += step_ms * MS
        due = pick.is_due(t_ns)
        took = pick.select(t_ns)
        assert took == due
        taken += took
    assert taken <= t_ns / S * fps + 2


@given(
    delays_ms=st.lists(st.integers(0, 800), min_size=2, max_size=100),
    start_ns=st.integers(0, 10 * S),
)
def test_a_stream_is_dated_by_its_smallest_delay(delays_ms: list[int], start_ns: int) -> None:
    timeline = StreamTimeline(40 * MS)
    arrived_ns, dated = 0, []
    for number, delay_ms in enumerate(delays_ms):
        due_ns = 100 * S + number * 40 * MS
        arrived_ns = max(arrived_ns, due_ns + delay_ms * MS)
        raw_ns = start_ns + number * 40 * MS
        placed = timeline.map_packet(raw_ns, raw_ns, arrived_ns)
        assert (placed.pts_ns, placed.dts_ns) == (number * 40 * MS,) * 2
        t_ns = placed.boottime_ns(placed.pts_ns)
        assert t_ns <= arrived_ns
        dated.append(t_ns - due_ns)
    assert min(dated) >= min(delays_ms) * MS
    assert dated[-1] == min(dated)


def test_a_clock_that_runs_slow_is_followed() -> None:
    timeline = StreamTimeline(40 * MS)
    late_ns = 0
    for number in range(25 * 600):
        raw_ns = number * 40 * MS
        arrived_ns = 100 * S + raw_ns * 1001 // 1000
        placed = timeline.map_packet(raw_ns, raw_ns, arrived_ns)
        late_ns = arrived_ns - placed.boottime_ns(placed.pts_ns)
    # The true delay is 0; a camera slow by 1 in 1000 is off by what 60 s of drift are.
    assert late_ns <= 60 * MS


@pytest.mark.parametrize("jump_ns", [-3600 * S, -S, MAX_JUMP_NS + S, 3600 * S])
def test_a_stream_that_resets_its_time_continues(jump_ns: int) -> None:
    timeline = StreamTimeline(40 * MS)
    placed = []
    for number in range(50):
        raw_ns = 10 * S + number * 40 * MS + (jump_ns if number >= 25 else 0)
        placed.append(timeline.map_packet(raw_ns, raw_ns, 100 * S + number * 40 * MS))
    assert [p.dts_ns for p in placed] == [number * 40 * MS for number in range(50)]
    assert [p.boottime_ns(p.dts_ns) for p in placed] == [p.arrival_ns for p in placed]


def test_a_network_stall_is_not_a_time_jump() -> None:
    timeline = StreamTimeline(40 * MS)
    for number in range(50):
        raw_ns = number * 40 * MS
        late_ns = 8 * S if number >= 20 else 0
        placed = timeline.map_packet(raw_ns, raw_ns, 100 * S + raw_ns + late_ns)
        assert placed.dts_ns == raw_ns
        assert placed.boottime_ns(raw_ns) == 100 * S + raw_ns


@given(
    times=st.lists(
        st.tuples(
            st.none() | st.integers(-(10**12), 10**12), st.none() | st.integers(-(10**12), 10**12)
        ),
        min_size=1,
        max_size=60,
    )
)
def test_decoding_times_increase_for_any_stream(
    times: list[tuple[int | None, int | None]],
) -> None:
    timeline = StreamTimeline(40 * MS)
    placed = [
        timeline.map_packet(pts, dts, 100 * S + n * 40 * MS) for n, (pts, dts) in enumerate(times)
    ]
    assert placed[0].dts_ns == 0
    assert all(after.dts_ns > before.dts_ns for before, after in pairwise(placed))
    assert all(p.pts_ns >= p.dts_ns for p in placed)
