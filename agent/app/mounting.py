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
from agent.config.heads import HeadConfig, Sector
from agent.faults.registry import FaultRegistry
from agent.ptz.automation.auto_tracking import AutoTracker
from agent.ptz.automation.guard_tours import GuardTours
from agent.ptz.automation.panorama_scan import PanoramaScan
from agent.ptz.head import PtzHead
from agent.ptz.motion import sun
from agent.ptz.ptz_command import HeadAssembly

log = logging.getLogger(__name__)


def mount(
    fitting: HeadSpec,
    folder: Path,
    carried: MountedCamera | None,
    gallery: SnapshotSink,
    clock: Clock,
    faults: FaultRegistry,
    rng: random.Random,
    rests: Callable[[], bool],
) -> HeadAssembly:
    """A head with its tours, and with what its camera makes possible. `folder` is its own, and
    `rests` tells whether tours are not to move it now.
    """
    config = fitting.config
    utc = partial(_trusted_utc, clock)
    tours = GuardTours(
        config.tour,
        config.time_zone,
        utc,
        rng,
        partial(log.warning, "head %s: %s", config.name),
        rests,
    )
    head = PtzHead(
        config,
        fitting.open_ptz,
        folder,
        clock,
        faults,
        movers=[tours],
        forbidden=lambda t_ns: _sun(config, utc(t_ns)),
        drawn={} if carried is None else carried.drawn,
        on_rest=_nobody_looks if carried is None else carried.on_rest,
    )
    sweep = tracker = None
    if carried is not None and config.fov_deg is not None:
        sweep = PanoramaScan(
            head,
            carried.name,
            carried.shown,
            config.fov_deg,
            gallery,
            clock.boottime_ns,
            hidden=carried.hidden,
        )
        if config.tracking.enabled and carried.shown.watched:
            tracker = AutoTracker(config.tracking, config.fov_deg, lambda: head.abilities)
            head.add(tracker)
    return HeadAssembly(head=head, camera=config.camera, tours=tours, sweep=sweep, tracker=tracker)


def _sun(config: HeadConfig, utc: datetime | None) -> tuple[Sector, ...]:
    sector = None if config.sun is None else sun.sector(config.sun, utc)
    return () if sector is None else (sector,)


def _trusted_utc(clock: Clock, t_ns: int) -> datetime | None:
    return clock.utc(t_ns) if clock.trust().synced else None


def _nobody_looks(_preset: str | None, _settled: bool, _leeway: ShiftTolerance | None) -> None:  # noqa: FBT001 - the head's words
    """No camera of ours sits on the head."""
