"""The wiring of one head: who moves it by himself, what it may not look at, and what it carries."""

import logging
import random
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from agent.app.actuator_deps import MountedCamera
from agent.app.actuator_specs import HeadSpec
from agent.base.clock import Clock
from agent.base.model import ShiftTolerance
from agent.capture.snapshot_command import SnapshotSink
from agent.config.heads import ForbiddenSector, HeadConfig
from agent.faults.registry import FaultRegistry
from agent.ptz.automation.auto_tracking import AutoTracker
from agent.ptz.automation.guard_tours import GuardTours
from agent.ptz.automation.panorama_scan import PanoramaScan
from agent.ptz.head import PtzHead
from agent.ptz.motion import sun
from agent.ptz.ptz_command import HeadAssembly

log = logging.getLogger(__name__)


def assemble_head(
    spec: HeadSpec,
    folder: Path,
    mounted_camera: MountedCamera | None,
    snapshot_sink: SnapshotSink,
    clock: Clock,
    faults: FaultRegistry,
    rng: random.Random,
    should_suspend_tours: Callable[[], bool],
) -> HeadAssembly:
    """A head with its tours, and with what its camera makes possible. `folder` is its own, and
    `rests` tells whether tours are not to move it now.
    """
    config = spec.config
    trusted_utc = partial(_trusted_utc, clock)
    tours = GuardTours(
        config.tour,
        config.time_zone,
        trusted_utc,
        rng,
        partial(log.warning, "head %s: %s", config.name),
        should_suspend_tours,
    )
    head = PtzHead(
        config,
        spec.open_ptz,
        folder,
        clock,
        faults,
        movers=[tours],
        dynamic_sectors=lambda t_ns: _sun_sectors(config, trusted_utc(t_ns)),
        masked_scenes={} if mounted_camera is None else mounted_camera.masked_presets,
        on_rest_change=_ignore_rest if mounted_camera is None else mounted_camera.on_rest,
    )
    panorama_scan = tracker = None
    if mounted_camera is not None and config.fov_deg is not None:
        panorama_scan = PanoramaScan(
            head,
            mounted_camera.name,
            mounted_camera.access,
            config.fov_deg,
            snapshot_sink,
            clock.boottime_ns,
            is_masked=mounted_camera.is_masked,
        )
        if config.tracking.enabled and mounted_camera.access.has_frames:
            tracker = AutoTracker(config.tracking, config.fov_deg, lambda: head.capabilities)
            head.add_mover(tracker)
    return HeadAssembly(
        head=head,
        camera=config.camera,
        guard_tours=tours,
        panorama_scan=panorama_scan,
        tracker=tracker,
    )


def _sun_sectors(config: HeadConfig, utc: datetime | None) -> tuple[ForbiddenSector, ...]:
    sector = None if config.sun is None else sun.sun_sector(config.sun, utc)
    return () if sector is None else (sector,)


def _trusted_utc(clock: Clock, t_ns: int) -> datetime | None:
    return clock.utc(t_ns) if clock.trust().synced else None


def _ignore_rest(_preset: str | None, _settled: bool, _tolerance: ShiftTolerance | None) -> None:  # noqa: FBT001 - the head's words
    """No camera of ours sits on the head."""
