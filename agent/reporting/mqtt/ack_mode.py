"""Which side frees a message: a centre, or the broker alone. Pure.

A broker's PUBACK is not durability: a mosquitto that was killed had lost every message that it
had acknowledged (measured). So if there is a centre, only its acknowledgement counts. A centre
is known from its retained state; a killed broker may have lost that too, so the box remembers that
there was a centre, and does not take silence for its end.
"""

from collections.abc import Collection
from typing import Literal

from agent.reporting.centre_payloads import CentreStateName

CENTRE_STATE_WAIT_S = 2.0
"""Retained messages follow the SUBACK at once; this is for a slow link."""

AckMode = Literal["undecided", "broker", "centre", "hold"]
"""undecided: a centre may still announce itself; send, and free nothing.
broker: a PUBACK with success frees a message.
centre: the acknowledgement of a centre, or of each named one, frees it.
hold: all centres are away; send nothing that they would miss.
"""


def choose_ack_mode(
    ack_setting: Literal["auto", "broker"],
    states: Collection[CentreStateName],
    *,
    centre_known: bool,
    are_acks_signed: bool,
    subscribed_for_s: float,
) -> AckMode:
    """Choose by the newest state of each centre on this connection.

    `centre_known`: there is a centre, announced on this or an earlier connection or named in the
    configuration, that has not retired. `are_acks_signed`: the box has a control authority; no PUBACK frees a message
    then. `subscribed_for_s` is how long retained states could have arrived.
    """
    if ack_setting == "broker":
        return "broker"
    if "listening" in states:
        return "centre"
    if centre_known:
        return "hold"
    if states or subscribed_for_s >= CENTRE_STATE_WAIT_S:
        return "hold" if are_acks_signed else "broker"
    return "undecided"
