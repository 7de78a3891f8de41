"""The pan-tilt heads of a box: their assembly, stages, health and capabilities."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import msgspec

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.base.clock import trusted_utc
from agent.base.health_model import DegradationLevel, HeadHealth
from agent.base.model import FrameResult
from agent.base.state_inventory import StateInventory
from agent.capture.snapshot_command import SnapshotSink
from agent.commands.requester import Requester
from agent.config.heads import ForbiddenSector, HeadConfig
from agent.config_change.actuator_specs import HeadSpec
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.ptz.automation.auto_tracking import AutoTracker
from agent.ptz.automation.guard_tours import GuardTours
from agent.ptz.automation.panorama_scan import PanoramaScan
from agent.ptz.connection import HeadConnection
from agent.ptz.head import NO_CAMERA, MountedCamera, PtzHead
from agent.ptz.head_stage import HeadStage
from agent.ptz.motion import sun
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.reporting.payloads import HeadCapabilities
from agent.runtime.stage import Stage
from drivers.contracts import Pose, Ptz
from drivers.media import Frame
from drivers.serial_bus import BUSES

log = logging.getLogger(__name__)

HEADS_DIR = "heads"


class PtzHeads:
    """The heads of one box. All but the handler and the stages is thread-safe."""

    def __init__(
        self,
        specs: Sequence[HeadSpec],
        box: BoxContext,
        pipelines: Sequence[CameraPipeline],
        snapshot_sink: SnapshotSink,
    ) -> None:
        self._level: DegradationLevel = "full"
        self._opened_heads: set[str] = set()
        by_camera = {pipeline.name: pipeline for pipeline in pipelines}
        self._assemblies = {
            spec.config.name: assemble_head(
                msgspec.structs.replace(spec, open_ptz=partial(self._open, spec)),
                box,
                by_camera.get(spec.config.camera or ""),
                snapshot_sink,
                self._should_suspend_tours,
            )
            for spec in specs
        }
        self.stages: tuple[Stage, ...] = tuple(
            HeadStage(assembly.head, box.clock, box.faults, partial(_line_noise_bytes, name))
            for name, assembly in self._assemblies.items()
        )
        """To be guarded, see `agent.app.actuators`."""
        self.feature = Feature(
            handlers=(PtzCommandHandler(self._assemblies, box.clock.boottime_ns),),
            set_level=self._set_level,
        )

    @property
    def stop_pending(self) -> bool:
        """Return True if a head has not confirmed its stop. A head that was never open did not move."""
        return any(
            assembly.head.connection.stop_pending and name in self._opened_heads
            for name, assembly in self._assemblies.items()
        )

    def health(self) -> tuple[HeadHealth, ...]:
        """Return the health of each head."""
        return tuple(assembly.head.health() for assembly in self._assemblies.values())

    def lease_holder(self, head: str) -> Requester | None:
        """Return the holder of a head's lease, or None. Thread-safe."""
        lease = self._assemblies[head].head.state().lease
        return None if lease is None else lease.holder

    def capabilities(self) -> tuple[HeadCapabilities, ...]:
        """Return the heads' entries in the birth message."""
        return tuple(_head_capabilities(assembly) for assembly in self._assemblies.values())

    def stored_presets(self) -> dict[str, dict[str, Pose]]:
        """Return the pose of each preset that the box itself stores, by head."""
        return {name: assembly.head.stored_presets() for name, assembly in self._assemblies.items()}

    def on_scenes_replaced(self, pipeline: CameraPipeline) -> None:
        """Take the other presets that scenes of a camera were drawn at."""
        for assembly in self._assemblies.values():
            if assembly.camera == pipeline.name:
                assembly.head.replace_masked_scenes(pipeline.masked_presets)

    def _set_level(self, level: DegradationLevel) -> None:
        self._level = level

    def _should_suspend_tours(self) -> bool:
        """Return True from `record_only` on."""
        return self._level in ("record_only", "heartbeat")

    def _open(self, spec: HeadSpec) -> Ptz:
        ptz = spec.open_ptz()
        self._opened_heads.add(spec.config.name)
        return ptz


def assemble_head(
    spec: HeadSpec,
    box: BoxContext,
    pipeline: CameraPipeline | None,
    snapshot_sink: SnapshotSink,
    should_suspend_tours: Callable[[], bool],
) -> HeadAssembly:
    """Build a head with its tours and, if a camera of the box is mounted on it, panorama and tracking.

    A camera without scenes per preset counts as not mounted.
    """
    clock, folder = box.clock, box.state_dir / HEADS_DIR / spec.config.name
    config = spec.config
    utc_if_trusted = partial(trusted_utc, clock)
    tours = GuardTours(
        config.tour,
        box.time_zone,
        utc_if_trusted,
        box.rng,
        partial(log.warning, "head %s: %s", config.name),
        should_suspend_tours,
    )
    scene = None if pipeline is None else pipeline.active_scene
    head = PtzHead(
        config,
        HeadConnection(config.name, spec.open_ptz, box.faults),
        folder,
        clock,
        camera=NO_CAMERA
        if pipeline is None or scene is None
        else MountedCamera(
            masked_scenes=pipeline.masked_presets, on_rest_change=scene.update_position
        ),
        dynamic_sectors=lambda t_ns: _sun_sectors(config, utc_if_trusted(t_ns)),
        fixed_presets=spec.presets,
        inventory=StateInventory(box.state_dir),
    )
    head.movers.add(tours)
    panorama_scan = tracker = None
    if pipeline is not None and scene is not None and config.fov_deg is not None:
        access = pipeline.access()
        panorama_scan = PanoramaScan(
            head,
            pipeline.name,
            access,
            config.fov_deg,
            snapshot_sink,
            clock.boottime_ns,
            is_masked=lambda: scene.has_masks,
        )
        if config.tracking.enabled and access.has_frames:
            tracker = AutoTracker(config.tracking, config.fov_deg, lambda: head.capabilities)
            head.movers.add(tracker)
            pipeline.frame_listeners.append(partial(_track, tracker))
    return HeadAssembly(
        head=head,
        camera=config.camera,
        guard_tours=tours,
        panorama_scan=panorama_scan,
        tracker=tracker,
    )


def _track(tracker: AutoTracker, _frame: Frame, result: FrameResult) -> None:
    tracker.on_frame_result(result)


def _line_noise_bytes(head: str) -> int:
    """Return the bytes received on the head's serial line that belong to no message."""
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


def _sun_sectors(config: HeadConfig, utc: datetime | None) -> tuple[ForbiddenSector, ...]:
    sector = None if config.sun is None else sun.sun_sector(config.sun, utc)
    return () if sector is None else (sector,)
