"""The control authority of a box's configuration, and the topic of its revocation lists."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.authority.control_authority import ControlAuthority
from agent.base.clock import Clock
from agent.config.configuration import Config
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish

log = logging.getLogger(__name__)


def open_authority(config: Config, clock: Clock) -> ControlAuthority | None:
    """Return the authority of `control.ca`, or None if there is none, with a warning. Raises: UserError."""
    if config.control.ca is None:
        log.warning(
            "control.ca is not set: commands and acknowledgements are not authenticated; the broker and each of its "
            "clients can send them under any name"
        )
        return None
    return ControlAuthority.load(Path(config.control.ca), Path(config.box.state), clock)


def topic_handlers(
    authority: ControlAuthority | None,
) -> Mapping[str, Callable[[ReceivedPublish], None]]:
    """Return the handler of revocation lists, if there is an authority."""
    if authority is None:
        return {}
    return {topics.REVOCATIONS_TOPIC: lambda received: authority.take_revocations(received.payload)}
