"""Received messages: their destinations, and the authority of those that have to be signed."""

from collections.abc import Callable, Mapping

import msgspec

from agent.authority.control_authority import ControlAuthority
from agent.base.model import IncomingCommand
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.outgoing_messages import OutgoingMessage


class Downlink(msgspec.Struct, frozen=True, kw_only=True):
    """Destinations of received messages. Each is called on the connection's thread: it must be quick and must not raise.

    `on_command` gets each command; without it the box subscribes to none. Replies go to `submit_reply`, on any thread.
    `on_incident` gets each message on the topic of an incident, after its id.
    `authority` verifies acknowledgements and states of centres, None if they need no signature. `topic_handlers` get the
    messages of further topics, without wildcards, such as retained ones of the centre's side.
    """

    on_command: Callable[[IncomingCommand], None] | None = None
    submit_reply: Callable[[OutgoingMessage], None] | None = None
    on_incident: Callable[[str, ReceivedPublish], None] | None = None
    authority: ControlAuthority | None = None
    topic_handlers: Mapping[str, Callable[[ReceivedPublish], None]] = {}
