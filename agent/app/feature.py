"""A feature of the box: the parts that it adds to the agent."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from agent.base.health_model import DegradationLevel
from agent.commands.command import CommandHandler
from agent.commands.pending_commands import ResumeCommand
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.runtime.stage import Stage
from agent.runtime.supervisor import Order


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that one feature adds to the agent.

    `stages` are its threads, by the order in which they stop. `handlers` carry out its commands, and `resume` continues
    those of an earlier run before the stages start. `topics` take retained messages of the centre's side.
    `set_level` takes each change of the degradation level.
    """

    stages: Mapping[Order, Sequence[Stage]] = {}
    handlers: Sequence[CommandHandler] = ()
    resume: Callable[[ResumeCommand], None] | None = None
    topics: Mapping[str, Callable[[ReceivedPublish], None]] = {}
    set_level: Callable[[DegradationLevel], None] | None = None


def collect_stages(features: Iterable[Feature]) -> dict[Order, Sequence[Stage]]:
    """Return the stages of all features together."""
    stages: dict[Order, list[Stage]] = {}
    for feature in features:
        for order, added in feature.stages.items():
            stages.setdefault(order, []).extend(added)
    return dict(stages)
