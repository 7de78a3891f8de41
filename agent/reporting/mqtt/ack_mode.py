"""Which side frees a message: the centre, or the broker alone. Pure.

A broker's PUBACK is not durability: a mosquitto that was killed had lost every message that it
had acknowledged (measured). So if there is a centre, only its acknowledgement counts. The centre
is known from its retained state; a killed broker may have lost that too, so the box remembers that
there was a centre, and does not take silence for its end.
"""

from typing import Literal

from agent.reporting.payloads import CentreState

CENTRE_STATE_WAIT_S = 2.0
"""Retained messages follow the SUBACK at once; this is for a slow link."""

AckMode = Literal["undecided", "broker", "centre", "hold"]
"""undecided: a centre may still announce itself; send, and free nothing.
broker: a PUBACK with success frees a message.
centre: the centre's acknowledgement frees it.
hold: the centre is away; send nothing that it would miss.
"""
_MODE_BY_STATE: dict[str, AckMode] = {"listening": "centre", "away": "hold", "retired": "broker"}


def choose_ack_mode(
    ack_setting: Literal["auto", "broker"],
    centre_state: CentreState | None,
    *,
    centre_known: bool,
    subscribed_for_s: float,
) -> AckMode:
    """Choose by the newest centre state of this connection, or None if none has come.

    `centre_known`: a centre has announced itself before, on this or an earlier connection.
    `subscribed_for_s` is how long its retained state could have arrived.
    """
    if ack_setting == "broker":
        return "broker"
    if centre_state is not None:
        return _MODE_BY_STATE[centre_state.state]
    if centre_known:
        return "hold"
    return "broker" if subscribed_for_s >= CENTRE_STATE_WAIT_S else "undecided"
