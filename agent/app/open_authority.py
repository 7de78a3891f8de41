"""The control authority of a box's configuration, and the topic of its revocation lists."""

import logging
from pathlib import Path

from agent.app.feature import Feature
from agent.authority.control_authority import ControlAuthority
from agent.base.clock import Clock
from agent.base.health_model import ControlHealth
from agent.config.configuration import Config
from agent.reporting import topics

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


def make_revocations(authority: ControlAuthority | None) -> Feature:
    """Return the topic of revocation lists, if there is an authority."""
    if authority is None:
        return Feature()
    return Feature(
        topics={
            topics.REVOCATIONS_TOPIC: lambda received: authority.take_revocations(received.payload)
        }
    )


def authority_health(authority: ControlAuthority | None) -> ControlHealth | None:
    """Return the counts of refused signed messages, None without an authority."""
    return None if authority is None else authority.health()
