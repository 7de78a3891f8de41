"""drivers.ptz.visca: the frames that one camera receives."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from drivers import visca_codec as visca
from drivers.contracts import Pose, Velocity
from drivers.errors import DriverError
from drivers.visca_codec import ViscaProblem
from simulation.heads.head_simulator import HeadSimulator
from simulation.heads.visca_device import ViscaCameraChain

from . import heads
from .heads import VISCA_OPTIONS, VISCA_SPECS, SerialHeadBench


class RecordedChain:
    """One VISCA camera on a line, and the frames that arrive there."""

    def __init__(self, body: HeadSimulator) -> None:
        self._chain = ViscaCameraChain([body], VISCA_SPECS)
        self._framer = visca.PacketFramer()
        self.frames: list[bytes] = []

    @property
    def next_problems(self) -> deque[ViscaProblem]:
        return self._chain.next_problems

    @property
    def has_pending_output(self) -> bool:
        return self._chain.has_pending_output

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        self.frames += self._framer.feed(data)
        return self._chain.exchange(data, t_ns)


@pytest.fixture
def recorded() -> tuple[SerialHeadBench, list[RecordedChain]]:
    """A bench for one VISCA camera, whose frames are recorded."""
    chains: list[RecordedChain] = []

    def make_chain(body: HeadSimulator) -> RecordedChain:
        chains.append(RecordedChain(body))
        return chains[-1]

    return SerialHeadBench("visca", make_chain, VISCA_OPTIONS), chains


def test_a_visca_stop_ends_pan_and_tilt_first_then_the_lens(
    recorded: tuple[SerialHeadBench, list[RecordedChain]], tmp_path: Path
) -> None:
    bench, chains = recorded
    with bench.set_up(tmp_path) as rig:
        rig.head.stop()
        rig.wait_until_idle()
        assert chains[0].frames == [
            visca.pan_tilt_drive(1, 0, 0),
            visca.zoom_drive(1, 0),
            visca.focus_drive(1, 0),
        ]


def test_a_visca_goto_turns_autofocus_on_until_the_camera_has_acknowledged_it(
    recorded: tuple[SerialHeadBench, list[RecordedChain]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heads, "REPLY_TIMEOUT_S", 0.5)  # for the answer that does not come
    bench, chains = recorded
    turns_on, turns_off = (visca.autofocus(1, on=on) for on in (True, False))

    def received(work: Callable[[], object]) -> list[bytes]:
        del chains[0].frames[:]
        with suppress(DriverError):
            work()
        rig.wait_until_idle()
        return [frame for frame in chains[0].frames if frame in (turns_on, turns_off)]

    with bench.set_up(tmp_path) as rig:
        head = rig.head

        def goto() -> None:
            head.goto(Pose(pan_deg=3, tilt_deg=3), 1.0)

        def focus() -> None:
            head.move(Velocity(focus=1.0))

        assert received(goto) == [turns_on], "the mode after an opening is unknown"
        assert received(goto) == []
        rig.advance_s(5)
        assert received(focus) == [turns_off]
        assert received(focus) == []
        rig.set_silent(on=True)
        assert received(goto) == [turns_on]
        rig.set_silent(on=False)
        head.stop()
        assert received(goto) == [turns_on], "the last one was lost"
        assert received(goto) == []


def test_a_visca_camera_that_refuses_a_focus_mode_goes_to_the_next_pose(
    recorded: tuple[SerialHeadBench, list[RecordedChain]], tmp_path: Path
) -> None:
    bench, chains = recorded
    with bench.set_up(tmp_path) as rig:
        chains[0].next_problems.append("syntax")
        with pytest.raises(DriverError, match="refuses 81 01 04 38 02 ff"):
            rig.head.goto(Pose(pan_deg=3, tilt_deg=3), 1.0)
        rig.head.goto(Pose(pan_deg=5, tilt_deg=3), 1.0)
