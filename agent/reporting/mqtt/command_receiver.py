"""Commands of one connection: the message becomes a command, and its replies go into the outbox."""

import logging
from collections.abc import Callable

from agent.base.model import IncomingCommand, Reply, ReplyAddress
from agent.reporting import outgoing_messages, topics
from agent.reporting.mqtt.downlink import Downlink
from agent.reporting.mqtt.packets import ReceivedPublish

log = logging.getLogger(__name__)


class CommandReceiver:
    """Passes commands to the downlink. `subscription_id` marks those that came after this connection subscribed."""

    def __init__(
        self,
        box: str,
        session_number: int,
        subscription_id: int,
        downlink: Downlink,
        now_s: Callable[[], float],
    ) -> None:
        self._box = box
        self._session_number = session_number
        self._subscription_id = subscription_id
        self._downlink = downlink
        self._now_s = now_s

    def receive(self, event: ReceivedPublish) -> bool:
        """Pass a command on, or return False if the message is none."""
        verb = topics.parse_command_topic(self._box, event.topic)
        if verb is None or self._downlink.on_command is None:
            return False
        correlation = event.correlation
        if correlation is not None and len(correlation) > topics.MAX_CORRELATION_BYTES:
            log.warning("command %s: %d bytes of correlation data", verb, len(correlation))
            correlation = None
        reply_topic = topics.choose_reply_topic(self._box, event.response_topic)
        self._downlink.on_command(
            IncomingCommand(
                verb=verb,
                payload=event.payload,
                via="MQTT",
                send_reply=lambda reply: self._send_reply(reply, reply_topic, correlation),
                retained=event.retained,
                has_waited=bool(event.subscription_ids)
                and self._subscription_id not in event.subscription_ids,
                session=self._session_number,
                reply_address=ReplyAddress(topic=reply_topic, correlation=correlation),
            )
        )
        return True

    def _send_reply(self, reply: Reply, topic: str, correlation: bytes | None) -> None:
        """Put a reply into the outbox. It may come after the connection has ended."""
        if self._downlink.submit_reply is not None:
            t_ns = int(self._now_s() * 1e9)
            self._downlink.submit_reply(
                outgoing_messages.build_reply_message(
                    reply, t_ns, topic=topic, correlation=correlation
                )
            )
