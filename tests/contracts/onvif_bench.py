"""ONVIF heads for the contract suite: ipycam speaks, and the simulated body does what it was told."""

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.contracts import Pose, Velocity
from drivers.simulated.motion import HeadMotion, Mechanics
from tests.conftest import HeldClock

from .heads import MECHANICS, Bench, Lack, SimulatedRig, open_head
from .onvif_peer import PYTHON, SCRIPT

OPTIONS: dict[str, Any] = {
    "pan_deg": {"low": -170, "high": 170},
    "tilt_deg": {"low": -30, "high": 90},
    "pan_max_deg_s": 60,
    "tilt_max_deg_s": 40,
    "zoom_ratio": 10,
    "error_deg": 0.5,
    "timeout_s": 1.0,
}
"""What MECHANICS are in a data sheet."""
RECKONED: dict[str, Any] = {"zoom_travel_s": 3, "preset_deg_s": 40, "lag_s": 0.3}


class ShareSide:
    """The body behind shares of -1..1, as a camera's own program would turn it. `mute`: it does what
    it is told, and its answer to that is lost. `late_s`: how long it takes until it has read where
    it is, and again until it says so.
    """

    def __init__(self, body: HeadMotion, clock: HeldClock) -> None:
        self._body, self._clock = body, clock
        self.mute = False
        self.late_s = 0.0
        self._names: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._places: dict[str, Pose] = {}

    def answer(self, do: str, *given: Any) -> Any:
        if self._body.misbehaviour.silent:
            return "silence"
        answer = getattr(self, do)(*given)
        return "silence" if self.mute and do in ("move", "stop", "recall") else answer

    def move(self, pan: float, tilt: float, zoom: float) -> None:
        self._body.move(
            self._clock.now_ns, Velocity(pan_deg_s=pan * 60, tilt_deg_s=tilt * 40, zoom=zoom)
        )

    def stop(self) -> None:
        self._body.stop(self._clock.now_ns)

    def goto(self, pan: float, tilt: float, zoom: float | None) -> None:
        here = self._body.state(self._clock.now_ns)
        self._body.goto(
            self._clock.now_ns,
            Pose(
                pan_deg=pan * 170, tilt_deg=30 + tilt * 60, zoom=here.zoom if zoom is None else zoom
            ),
        )

    def status(self) -> dict[str, Any]:
        self._clock.pass_s(self.late_s)
        state = self._body.state(self._clock.now_ns)
        self._clock.pass_s(self.late_s)
        return {**_shares(state.pose), "moving": state.moving}

    def presets(self) -> dict[str, Any]:
        return {
            token: {"token": token, "name": name, **_shares(self._places[token])}
            for token, name in self._names.items()
        }

    def store(self, token: str, name: str) -> None:
        self._names[token] = name
        self._numbers[token] = len(self._numbers) + 1
        self._places[token] = self._body.state(self._clock.now_ns).pose
        self._body.store_preset(self._clock.now_ns, self._numbers[token])

    def recall(self, token: str) -> None:
        self._body.recall_preset(self._clock.now_ns, self._numbers[token])


def _shares(pose: Pose) -> dict[str, float]:
    return {"pan": pose.pan_deg / 170, "tilt": (pose.tilt_deg - 30) / 60, "zoom": pose.zoom}


class OnvifRig(SimulatedRig):
    """An open head, and the camera's process with the body at its end."""

    def __init__(self, options: dict[str, Any], mechanics: Mechanics, *arguments: str) -> None:
        self.clock = HeldClock()
        self.body = HeadMotion(mechanics, self.clock.now_ns)
        self.side = ShareSide(self.body, self.clock)
        self._camera = subprocess.Popen(
            [str(PYTHON), str(SCRIPT), "body", "127.0.0.1", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._camera.stdout is not None
        port = int(self._camera.stdout.readline())
        self._answering = threading.Thread(target=self._answer)
        self._answering.start()
        url = {"url": f"http://127.0.0.1:{port}"}
        self.head = open_head("onvif", OPTIONS | options | url, self.clock.boottime_ns)

    def close(self) -> None:
        self.head.close()
        self._camera.kill()
        self._answering.join()
        self._camera.communicate()

    def _answer(self) -> None:
        stdin, stdout = self._camera.stdin, self._camera.stdout
        assert stdin is not None
        assert stdout is not None
        for line in stdout:
            stdin.write(json.dumps(self.side.answer(*json.loads(line))) + "\n")
            stdin.flush()


class OnvifBench:
    """A camera's own head."""

    driver = "onvif"

    def __init__(self, *arguments: str, lacks: Sequence[Lack] = (), **options: Any) -> None:
        self.lacks, self._arguments, self._options = lacks, arguments, options

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[OnvifRig]:
        if not PYTHON.exists():
            pytest.skip("needs ipycam in .cache/test-peers: make setup-test")
        rig = OnvifRig(self._options, MECHANICS, *self._arguments)
        try:
            yield rig
        finally:
            rig.close()


ONVIF_HEADS: dict[str, Bench] = {
    "onvif": OnvifBench(lacks=("speed of goto",)),
    "onvif driven": OnvifBench("driven", **RECKONED),
}
