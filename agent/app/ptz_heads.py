"""The wiring of all heads of a box: their stages, the verb that moves them, what is said of them."""

import random
from functools import partial

import msgspec

from agent.app.actuator_deps import ActuatorDeps
from agent.app.actuator_specs import ActuatorSpecs, HeadSpec
from agent.app.mounting import assemble_head
from agent.base.clock import Clock
from agent.base.health_model import HeadHealth
from agent.base.model import FrameResult
from agent.faults.registry import FaultRegistry
from agent.ptz.head_stage import HeadStage
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.reporting.payloads import HeadCapabilities
from agent.runtime.stage import Stage
from drivers.contracts import Ptz
from drivers.media import Frame
from drivers.serial_bus import BUSES

HEADS_DIR = "heads"


class PtzHeads:
    """The heads of one box. Any thread may ask for health."""

    def __init__(
        self,
        specs: ActuatorSpecs,
        deps: ActuatorDeps,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
    ) -> None:
        self._opened_heads: set[str] = set()
        self._assemblies = {
            spec.config.name: assemble_head(
                msgspec.structs.replace(spec, open_ptz=partial(self._open, spec)),
                deps.state_dir / HEADS_DIR / spec.config.name,
                deps.mounted_cameras.get(spec.config.name),
                deps.snapshot_sink,
                clock,
                faults,
                rng,
                deps.should_suspend_tours,
            )
            for spec in specs.heads
        }
        self._assembly_by_camera = {
            assembly.camera: assembly for assembly in self._assemblies.values() if assembly.camera
        }
        self.handler = PtzCommandHandler(self._assemblies, clock.boottime_ns)
        self.stages: tuple[Stage, ...] = tuple(
            HeadStage(assembly.head, clock, faults, partial(_line_noise_bytes, name))
            for name, assembly in self._assemblies.items()
        )

    @property
    def stop_pending(self) -> bool:
        """Whether one of them was told to stop and nobody knows that it has. A head that was never
        open has not been moved either.
        """
        return any(
            assembly.head.connection.stop_pending and name in self._opened_heads
            for name, assembly in self._assemblies.items()
        )

    def on_frame_result(self, camera: str, frame: Frame, result: FrameResult) -> None:
        """A frame that detection has looked at, and what it saw."""
        assembly = self._assembly_by_camera.get(camera)
        if assembly is None:
            return
        if assembly.panorama_scan is not None:
            assembly.panorama_scan.offer(frame)
        if assembly.tracker is not None:
            assembly.tracker.on_frame_result(result)

    def health(self) -> tuple[HeadHealth, ...]:
        """Of each head."""
        return tuple(assembly.head.health() for assembly in self._assemblies.values())

    def capabilities(self) -> tuple[HeadCapabilities, ...]:
        """For the birth."""
        return tuple(_head_capabilities(assembly) for assembly in self._assemblies.values())

    def _open(self, spec: HeadSpec) -> Ptz:
        ptz = spec.open_ptz()
        self._opened_heads.add(spec.config.name)
        return ptz


def _line_noise_bytes(head: str) -> int:
    """What came over the line of a head and was no message of anybody."""
    return sum(bus.noise_bytes for bus in BUSES.health() if head in bus.heads)


def _head_capabilities(assembly: HeadAssembly) -> HeadCapabilities:
    head = assembly.head
    ptz_capabilities = head.capabilities
    return HeadCapabilities(
        name=head.name,
        camera=assembly.camera,
        absolute=None if ptz_capabilities is None else ptz_capabilities.absolute,
        zoom=None if ptz_capabilities is None else ptz_capabilities.zoom_ratio > 1,
        focus=None if ptz_capabilities is None else ptz_capabilities.focus,
        aux=() if ptz_capabilities is None else ptz_capabilities.aux,
        presets=tuple(preset.name for preset in head.presets()),
        tours=tuple(tour.name for tour in head.config.tour),
    )
