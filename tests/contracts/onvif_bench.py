"""ONVIF heads for the contract suite: ipycam serves ONVIF, and the simulated body moves."""

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.contracts import Pose, Velocity
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator
from tests.conftest import ManualClock

from .heads import MECHANICS, HeadBench, MissingFeature, SimulatedRig, open_head
from .onvif_peer import PYTHON, SCRIPT

ONVIF_OPTIONS: dict[str, Any] = {
    "pan_deg": {"low": -170, "high": 170},
    "tilt_deg": {"low": -30, "high": 90},
    "pan_max_deg_s": 60,
    "tilt_max_deg_s": 40,
    "zoom_ratio": 10,
    "error_deg": 0.5,
    "timeout_s": 4.0,  # a busy machine answers late
}
"""MECHANICS in the terms of a data sheet."""
RECKONED_OPTIONS: dict[str, Any] = {"zoom_travel_s": 3, "preset_deg_s": 40, "lag_s": 0.3}


class NormalisedPtzDevice:
    """The body behind normalised values of -1..1, as a camera's own firmware moves it.

    `mute`: it obeys, and its answer is lost. `late_s`: the delay until it has read its position, and
    again until it reports it.
    """

    def __init__(self, simulator: HeadSimulator, clock: ManualClock) -> None:
        self._simulator, self._clock = simulator, clock
        self.is_muted = False
        self.answer_delay_s = 0.0
        self._preset_names: dict[str, str] = {}
        self._preset_numbers: dict[str, int] = {}
        self._preset_poses: dict[str, Pose] = {}

    def handle(self, operation: str, *arguments: Any) -> Any:
        if self._simulator.injected_fault.silent:
            return "silence"
        answer = getattr(self, operation)(*arguments)
        return "silence" if self.is_muted and operation in ("move", "stop", "recall") else answer

    def move(self, pan: float, tilt: float, zoom: float) -> None:
        self._simulator.move(
            self._clock.now_ns, Velocity(pan_deg_s=pan * 60, tilt_deg_s=tilt * 40, zoom=zoom)
        )

    def stop(self) -> None:
        self._simulator.stop(self._clock.now_ns)

    def goto(self, pan: float, tilt: float, zoom: float | None) -> None:
        state = self._simulator.state_at(self._clock.now_ns)
        self._simulator.goto(
            self._clock.now_ns,
            Pose(
                pan_deg=pan * 170,
                tilt_deg=30 + tilt * 60,
                zoom=state.zoom if zoom is None else zoom,
            ),
        )

    def status(self) -> dict[str, Any]:
        self._clock.advance_s(self.answer_delay_s)
        state = self._simulator.state_at(self._clock.now_ns)
        self._clock.advance_s(self.answer_delay_s)
        return {**_to_normalised(state.pose), "moving": state.moving}

    def presets(self) -> dict[str, Any]:
        return {
            token: {"token": token, "name": name, **_to_normalised(self._preset_poses[token])}
            for token, name in self._preset_names.items()
        }

    def store(self, token: str, name: str) -> None:
        self._preset_names[token] = name
        self._preset_numbers[token] = len(self._preset_numbers) + 1
        self._preset_poses[token] = self._simulator.state_at(self._clock.now_ns).pose
        self._simulator.store_preset(self._clock.now_ns, self._preset_numbers[token])

    def recall(self, token: str) -> None:
        self._simulator.goto_preset(self._clock.now_ns, self._preset_numbers[token])


def _to_normalised(pose: Pose) -> dict[str, float]:
    return {"pan": pose.pan_deg / 170, "tilt": (pose.tilt_deg - 30) / 60, "zoom": pose.zoom}


class OnvifHeadRig(SimulatedRig):
    """An open head, and the camera's process with the body at its end."""

    def __init__(self, options: dict[str, Any], mechanics: HeadMechanics, *arguments: str) -> None:
        self.clock = ManualClock()
        self.simulator = HeadSimulator(mechanics, self.clock.now_ns)
        self.device = NormalisedPtzDevice(self.simulator, self.clock)
        self._camera = subprocess.Popen(
            [str(PYTHON), str(SCRIPT), "body", "127.0.0.1", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._camera.stdout is not None
        port = int(self._camera.stdout.readline())
        self._answer_thread = threading.Thread(target=self._answer_requests)
        self._answer_thread.start()
        url = {"url": f"http://127.0.0.1:{port}"}
        self.head = open_head("onvif", ONVIF_OPTIONS | options | url, self.clock.boottime_ns)

    def close(self) -> None:
        self.head.close()
        self._camera.kill()
        self._answer_thread.join()
        self._camera.communicate()

    def _answer_requests(self) -> None:
        stdin, stdout = self._camera.stdin, self._camera.stdout
        assert stdin is not None
        assert stdout is not None
        for line in stdout:
            stdin.write(json.dumps(self.device.handle(*json.loads(line))) + "\n")
            stdin.flush()


class OnvifHeadBench:
    """A camera's own head."""

    driver = "onvif"

    def __init__(
        self, *arguments: str, missing_features: Sequence[MissingFeature] = (), **options: Any
    ) -> None:
        self.missing_features, self._arguments, self._options = missing_features, arguments, options

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[OnvifHeadRig]:
        if not PYTHON.exists():
            pytest.skip("needs ipycam in .cache/test-peers: make setup-test")
        rig = OnvifHeadRig(self._options, MECHANICS, *self._arguments)
        try:
            yield rig
        finally:
            rig.close()


ONVIF_HEADS: dict[str, HeadBench] = {
    "onvif": OnvifHeadBench(missing_features=("speed of goto",)),
    "onvif driven": OnvifHeadBench("driven", **RECKONED_OPTIONS),
}
