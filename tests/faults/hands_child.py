"""A whole agent with a head and a relay, one part of which hangs: hands_child.py CONFIG PART DEADLINE_S.

It says `guard PID` once it has started. At `hang` on its standard input the part hangs from its next
call on, and it says `hangs` then. At `bye` it stops as `vigie run` does at a signal, with this deadline.
"""

import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.app.actuator_specs import ActuatorSpecs, fittings
from agent.app.agent import Agent
from agent.base.clock import SystemClock
from agent.capture import camera_source
from agent.capture.camera_source import CameraSource
from agent.cli.run import HANGS
from agent.failsafe.guard_stage import GuardStage
from agent.runtime.sd_notify import Notifier


class Hang:
    """From `told` on, a device's call of this name does not come back; `begun` once one does not."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.begun = threading.Event()

    def here(self) -> None:
        if self.told.is_set():
            self.begun.set()
            threading.Event().wait()

    def within(self, device: object, call: str) -> Any:
        return _Hanging(device, call, self)


class _Hanging:
    def __init__(self, device: object, call: str, hang: Hang) -> None:
        self._device, self._call, self._hang = device, call, hang

    def __getattr__(self, name: str) -> object:
        if name == self._call:
            self._hang.here()
        return getattr(self._device, name)


def hanging_head(fitted: ActuatorSpecs, hang: Hang) -> ActuatorSpecs:
    """It hangs while it is asked where it is, as it is again and again while it moves."""
    (head,) = fitted.heads
    hangs = msgspec.structs.replace(head, open_ptz=lambda: hang.within(head.open_ptz(), "position"))
    return msgspec.structs.replace(fitted, heads=(hangs,))


def hanging_pins(fitted: ActuatorSpecs, hang: Hang) -> ActuatorSpecs:
    """They hang while an edge is waited for."""
    pins = fitted.pins
    assert pins is not None
    hangs = msgspec.structs.replace(
        pins, open_gpio=lambda lines: hang.within(pins.open_gpio(lines), "edge")
    )
    return msgspec.structs.replace(fitted, pins=hangs)


def hanging_camera(cameras: Sequence[CameraSource], hang: Hang) -> tuple[CameraSource, ...]:
    """It hangs while it is read."""
    (camera,) = cameras
    hangs = msgspec.structs.replace(
        camera, open_main=lambda wanted: hang.within(camera.open_main(wanted), "read")
    )
    return (hangs,)


FITTED: dict[str, Callable[[ActuatorSpecs, Hang], ActuatorSpecs]] = {
    "head": hanging_head,
    "pins": hanging_pins,
}


def main(path: Path, part: str, deadline_s: float) -> None:
    clock, hang = SystemClock(), Hang()
    config, cameras = camera_source.load(path, clock)
    fitted = fittings(config, clock, str(path))
    if part in FITTED:
        fitted = FITTED[part](fitted, hang)
    elif part == "camera":
        cameras = hanging_camera(cameras, hang)
    agent = Agent(config, cameras, clock, random.Random(1), fittings=fitted, notifier=Notifier({}))
    agent.start()
    guard = agent.hands.guard
    assert isinstance(guard, GuardStage)
    print("guard", guard.pid, flush=True)  # noqa: T201 - to the test
    for line in sys.stdin:
        if line.strip() == "hang":
            hang.told.set()
            hang.begun.wait()
            print("hangs", flush=True)  # noqa: T201 - to the test
        elif line.strip() == "bye":
            break
    if not agent.stop(deadline_s):
        os._exit(HANGS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
