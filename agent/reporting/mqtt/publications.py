"""Publications on one connection: counted in its window; what the broker refuses raises NET-02."""

import logging
from collections.abc import Callable, Iterable

from agent.base.message import Message
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.message_forms import Publication
from agent.reporting.mqtt.packets import PacketTooLarge, Puback
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.mqtt.send_window import MIN_FAILURE_CODE, SendWindow

log = logging.getLogger(__name__)

_REFUSED_SUBJECT, _TOO_LARGE_SUBJECT = "publication", "packet size"


class Publications:
    """Publishes over a transport. Used by the connection's thread."""

    def __init__(
        self, transport: PahoTransport, faults: FaultRegistry, now_s: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._faults = faults
        self._now_s = now_s

    def clear_faults(self) -> None:
        """Clear the faults of an earlier connection."""
        for subject in (_REFUSED_SUBJECT, _TOO_LARGE_SUBJECT):
            self._faults.clear("NET-02", subject)

    def send(
        self,
        window: SendWindow,
        forms: Iterable[Publication],
        description: str,
        *,
        seq: int | None = None,
    ) -> bool:
        """Publish the first form whose packet the broker takes, or return False if it takes none.

        Raises: MqttConnectionError.
        """
        too_large: PacketTooLarge | None = None
        for form in forms:
            try:
                mid = self._transport.publish(
                    form.topic,
                    form.payload,
                    retained=form.is_retained,
                    expiry_s=form.expiry_s,
                    properties=form.user_properties,
                    correlation=form.correlation,
                    content_type=form.content_type,
                )
            except PacketTooLarge as error:
                too_large = too_large or error
            else:
                window.note_sent(mid, seq, len(form.payload), self._now_s())
                return True
        detail = Message("{problem}: {reason}", problem=description, reason=str(too_large))
        log.warning("not sent: %s", detail)
        self._faults.raise_fault("NET-02", _TOO_LARGE_SUBJECT, detail)
        return False

    def on_puback(self, window: SendWindow, event: Puback) -> None:
        """Note the broker's answer to a publication."""
        seq = window.note_puback(event.mid, event.reason_code, self._now_s())
        if event.reason_code < MIN_FAILURE_CODE:
            return
        detail = Message("the broker refuses a publication: {reason}", reason=str(event.reason))
        log.warning("%s (message %s)", detail, seq)
        self._faults.raise_fault("NET-02", _REFUSED_SUBJECT, detail)
