"""The wiring of one head: who moves it by himself, what it may not look at, and what it carries."""

import logging
import random
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from agent.app.actuator_deps import Carried
from agent.app.actuator_specs import HeadFitting
from agent.base.clock import Clock
from agent.base.model import Leeway
from agent.capture.snapshot_command import Gallery
from agent.config.heads import HeadConfig, Sector
from agent.faults.registry import FaultBoard
from agent.ptz.automation.auto_tracking import Tracker
from agent.ptz.automation.guard_tours import Tours
from agent.ptz.automation.panorama_scan import RoundLook
from agent.ptz.head import Head
from agent.ptz.motion import sun
from agent.ptz.ptz_command import Mounted

log = logging.getLogger(__name__)


def mount(
    fitting: HeadFitting,
    folder: Path,
    carried: Carried | None,
    gallery: Gallery,
    clock: Clock,
    faults: FaultBoard,
    rng: random.Random,
    rests: Callable[[], bool],
) -> Mounted:
    """A head with its tours, and with what its camera makes possible. `folder` is its own, and
    `rests` tells whether tours are not to move it now.
    """
    config = fitting.config
    utc = partial(_trusted_utc, clock)
    tours = Tours(
        config.tour,
        config.time_zone,
        utc,
        rng,
        partial(log.warning, "head %s: %s", config.name),
        rests,
    )
    head = Head(
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
        sweep = RoundLook(
            head,
            carried.name,
            carried.shown,
            config.fov_deg,
            gallery,
            clock.boottime_ns,
            hidden=carried.hidden,
        )
        if config.tracking.enabled and carried.shown.watched:
            tracker = Tracker(config.tracking, config.fov_deg, lambda: head.abilities)
            head.add(tracker)
    return Mounted(head=head, camera=config.camera, tours=tours, sweep=sweep, tracker=tracker)


def _sun(config: HeadConfig, utc: datetime | None) -> tuple[Sector, ...]:
    sector = None if config.sun is None else sun.sector(config.sun, utc)
    return () if sector is None else (sector,)


def _trusted_utc(clock: Clock, t_ns: int) -> datetime | None:
    return clock.utc(t_ns) if clock.trust().synced else None


def _nobody_looks(_preset: str | None, _settled: bool, _leeway: Leeway | None) -> None:  # noqa: FBT001 - the head's words
    """No camera of ours sits on the head."""
