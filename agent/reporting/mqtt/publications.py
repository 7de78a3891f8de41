"""Publications on one connection: counted in its window; what the broker refuses raises NET-02."""

import logging
from collections.abc import Callable, Sequence

from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.packets import PacketTooLarge, Puback
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.mqtt.publish_packet import JPEG_CONTENT_TYPE, JSON_CONTENT_TYPE
from agent.reporting.mqtt.send_window import MIN_FAILURE_CODE, SendWindow

log = logging.getLogger(__name__)

REFUSAL_LOG_INTERVAL_S = 60.0
"""A broker that refuses every publication would fill the journal: each one is retried."""
_REFUSED_SUBJECT, _TOO_LARGE_SUBJECT = "publication", "packet size"


class Publications:
    """Publishes over a transport. Used by the connection's thread."""

    def __init__(
        self, transport: PahoTransport, faults: FaultRegistry, now_s: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._faults = faults
        self._now_s = now_s
        self._refusal_count = 0
        self._refusal_logged_s = -REFUSAL_LOG_INTERVAL_S

    def clear_faults(self) -> None:
        """Clear the faults of an earlier connection."""
        for subject in (_REFUSED_SUBJECT, _TOO_LARGE_SUBJECT):
            self._faults.clear("NET-02", subject)

    def send(
        self,
        window: SendWindow,
        topic: str,
        payload: bytes,
        description: str,
        *,
        seq: int | None = None,
        retained: bool = False,
        expiry_s: int | None = None,
        properties: Sequence[tuple[str, str]] = (),
        correlation: bytes | None = None,
    ) -> bool:
        """Publish, or return False if the broker takes no packet of this size.

        Raises: MqttConnectionError.
        """
        try:
            mid = self._transport.publish(
                topic,
                payload,
                retained=retained,
                expiry_s=expiry_s,
                properties=properties,
                correlation=correlation,
                # Only a picture has its header beside it, in the properties.
                content_type=JPEG_CONTENT_TYPE if properties else JSON_CONTENT_TYPE,
            )
        except PacketTooLarge as error:
            detail = f"{description}: {error}"
            log.warning("not sent: %s", detail)
            self._faults.raise_fault("NET-02", _TOO_LARGE_SUBJECT, detail)
            return False
        window.note_sent(mid, seq, len(payload), self._now_s())
        return True

    def on_puback(self, window: SendWindow, event: Puback) -> None:
        """Note the broker's answer to a publication."""
        seq = window.note_puback(event.mid, event.reason_code, self._now_s())
        if event.reason_code < MIN_FAILURE_CODE:
            return
        detail = f"the broker refuses a publication: {event.reason}"
        self._refusal_count += 1
        if self._now_s() - self._refusal_logged_s >= REFUSAL_LOG_INTERVAL_S:
            self._refusal_logged_s = self._now_s()
            log.warning("%s (message %s, %d refusals so far)", detail, seq, self._refusal_count)
        self._faults.raise_fault("NET-02", _REFUSED_SUBJECT, detail)
