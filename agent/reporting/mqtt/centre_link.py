"""The centre as one connection sees it: its state, the acknowledgement mode, and the fault NET-03."""

from collections.abc import Callable
from typing import Literal

from agent.faults.registry import FaultRegistry
from agent.reporting import topics
from agent.reporting.mqtt.ack_mode import AckMode, choose_ack_mode
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.payloads import CentreState

CENTRE_ACK_TIMEOUT_S = 30.0
"""Without an acknowledgement for this long, a message was sent three times: NET-03."""


class CentreLink:
    """State of the centre since the connection began. Used by the connection's thread."""

    def __init__(
        self,
        ack_setting: Literal["auto", "broker"],
        outbox: Outbox,
        faults: FaultRegistry,
        now_s: Callable[[], float],
    ) -> None:
        self._ack_setting = ack_setting
        self._outbox = outbox
        self._faults = faults
        self._now_s = now_s
        self._state: CentreState | None = None
        self._last_ack_s = now_s()
        self.ack_mode: AckMode = "undecided"

    @property
    def is_listening(self) -> bool:
        """True if a centre acknowledges."""
        return self._state is not None and self._state.state == "listening"

    def on_state(self, received: ReceivedPublish) -> bool:
        """Take the centre's state. Return True if the centre needs a birth to count from."""
        state = topics.decode_as(CentreState, received.payload)
        if state is None:
            # An empty message removes the retained one, as a broker's restart does. Only
            # `retired` means that the centre is gone.
            return False
        self._state = state
        is_known = state.state != "retired"
        if is_known != self._outbox.is_centre_known:
            self._outbox.remember_centre(is_known=is_known)
        if self.is_listening and (not received.retained or self.ack_mode == "broker"):
            # The centre counts from the birth's floor; messages that a PUBACK freed are below it.
            self._last_ack_s = self._now_s()
            return True
        return False

    def note_ack(self) -> None:
        """Note an acknowledgement of the centre."""
        self._last_ack_s = self._now_s()

    def update_ack_mode(self, subscribed_for_s: float) -> None:
        """Choose the acknowledgement mode."""
        self.ack_mode = choose_ack_mode(
            self._ack_setting,
            self._state,
            centre_known=self._outbox.is_centre_known,
            subscribed_for_s=subscribed_for_s,
        )

    def update_fault(self, *, is_waiting: bool) -> None:
        """Raise or clear NET-03. `is_waiting`: sent messages wait for the centre's acknowledgement."""
        is_waiting = is_waiting or (self.ack_mode == "hold" and self._outbox.depth > 0)
        if not is_waiting or self.ack_mode not in ("centre", "hold"):
            self._last_ack_s = self._now_s()
            self._faults.clear("NET-03", "centre")
        elif self._now_s() - self._last_ack_s < CENTRE_ACK_TIMEOUT_S:
            if self.ack_mode == "centre":
                self._faults.clear("NET-03", "centre")
        else:
            problem = "has said that it is away"
            if self.ack_mode == "centre":
                problem = "listens and does not acknowledge"
            elif self._state is None:
                problem = "has not announced itself since this connection began"
            self._faults.raise_fault("NET-03", "centre", f"the centre {problem}")
