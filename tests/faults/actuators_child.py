"""A whole agent with a head and a relay, one part of which hangs: actuators_child.py CONFIG PART DEADLINE_S.

It prints `guard PID` once it has started. At `hang` on its standard input the part hangs from its next
call on, and `hangs` is printed then. At `bye` it stops as `vigie run` does at a signal, with this deadline.
"""

import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.app.agent import Agent
from agent.base.clock import SystemClock
from agent.capture import camera_source
from agent.capture.camera_source import CameraSource
from agent.cli.run import EXIT_HUNG
from agent.config_change.actuator_specs import ActuatorSpecs, load_actuator_specs
from agent.config_change.start_config import StartConfig
from agent.failsafe.guard_stage import GuardStage
from agent.runtime.sd_notify import Notifier


class HangSwitch:
    """Once `reported` is set, a device's call of this name does not return; `begun` once one does not."""

    def __init__(self) -> None:
        self.armed = threading.Event()
        self.reached = threading.Event()

    def block_if_armed(self) -> None:
        if self.armed.is_set():
            self.reached.set()
            threading.Event().wait()

    def wrap(self, device: object, call: str) -> Any:
        return _HangingProxy(device, call, self)


class _HangingProxy:
    def __init__(self, device: object, call: str, hang: HangSwitch) -> None:
        self._device, self._call, self._hang = device, call, hang

    def __getattr__(self, name: str) -> object:
        if name == self._call:
            self._hang.block_if_armed()
        return getattr(self._device, name)


def hanging_head(specs: ActuatorSpecs, hang: HangSwitch) -> ActuatorSpecs:
    """It hangs in a position query, which is repeated while it moves."""
    (head,) = specs.heads
    hanging = msgspec.structs.replace(
        head, open_ptz=lambda: hang.wrap(head.open_ptz(), "read_position")
    )
    return msgspec.structs.replace(specs, heads=(hanging,))


def hanging_pins(specs: ActuatorSpecs, hang: HangSwitch) -> ActuatorSpecs:
    """They hang while an edge is waited for."""
    pins = specs.pins
    assert pins is not None
    hanging = msgspec.structs.replace(
        pins, open_gpio=lambda lines: hang.wrap(pins.open_gpio(lines), "read_edge")
    )
    return msgspec.structs.replace(specs, pins=hanging)


def hanging_camera(cameras: Sequence[CameraSource], hang: HangSwitch) -> tuple[CameraSource, ...]:
    """It hangs while it is read."""
    (camera,) = cameras
    hanging = msgspec.structs.replace(
        camera, open_main=lambda wanted: hang.wrap(camera.open_main(wanted), "read")
    )
    return (hanging,)


HANGING_PARTS: dict[str, Callable[[ActuatorSpecs, HangSwitch], ActuatorSpecs]] = {
    "head": hanging_head,
    "pins": hanging_pins,
}


def main(path: Path, part: str, deadline_s: float) -> None:
    clock, hang = SystemClock(), HangSwitch()
    config, cameras = camera_source.load_sources(path, clock)
    specs = load_actuator_specs(config, clock, str(path))
    if part in HANGING_PARTS:
        specs = HANGING_PARTS[part](specs, hang)
    elif part == "camera":
        cameras = hanging_camera(cameras, hang)
    agent = Agent(
        StartConfig(config=config, sources=tuple(cameras), specs=specs),
        clock,
        random.Random(1),
        notifier=Notifier({}),
        machine_root=path.parent,
    )
    agent.start()
    guard = agent.guard
    assert isinstance(guard, GuardStage)
    print("guard", guard.pid, flush=True)  # noqa: T201 - to the test
    for line in sys.stdin:
        if line.strip() == "hang":
            hang.armed.set()
            hang.reached.wait()
            print("hangs", flush=True)  # noqa: T201 - to the test
        elif line.strip() == "bye":
            break
    if not agent.stop(deadline_s):
        os._exit(EXIT_HUNG)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
