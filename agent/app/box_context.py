"""The box that an agent runs on: its id, folders, boot, clock and faults."""

import random
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from agent.base.clock import Clock, boot_id, unix_ns
from agent.base.uuid7 import uuid7_factory
from agent.config.configuration import BoxConfig
from agent.config.recording import FOOTAGE_DIR
from agent.faults.registry import FaultRegistry


class BoxContext(msgspec.Struct, frozen=True, kw_only=True):
    """The same for every part of one agent. `machine_root` contains the machine's `proc` and `sys`; `new_id` makes an id of
    a `t_ns`.
    """

    id: str
    state_dir: Path
    machine_root: Path
    boot: str
    clock: Clock
    rng: random.Random
    faults: FaultRegistry
    new_id: Callable[[int], str]
    time_zone: tzinfo

    @property
    def footage_dir(self) -> Path:
        """The folder of all cameras' footage."""
        return self.state_dir / FOOTAGE_DIR


def make_context(
    box: BoxConfig, clock: Clock, rng: random.Random, machine_root: Path
) -> BoxContext:
    """Return the context of a configured box, without a fault."""
    return BoxContext(
        id=box.id,
        state_dir=Path(box.state),
        machine_root=machine_root,
        boot=boot_id(),
        clock=clock,
        rng=rng,
        faults=FaultRegistry(clock.boottime_ns),
        new_id=uuid7_factory(lambda t_ns: unix_ns(clock.utc(t_ns)), rng),
        time_zone=ZoneInfo(box.time_zone),
    )
