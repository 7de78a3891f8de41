"""Who says that a message has arrived. Pure.

A broker's PUBACK is not durability: a mosquitto that was killed had lost every message that it
had acknowledged (measured). So where there is a centre, its word alone counts. Whether there is
one is known from its retained state; a broker that was killed may have lost that too, so the box
remembers that there was one, and does not take silence for its end.
"""

from typing import Literal

from agent.reporting.payloads import CentreState

CENTRE_STATE_WAIT_S = 2.0
"""Retained messages follow the SUBACK at once; this is for a slow link."""

AckMode = Literal["undecided", "broker", "centre", "hold"]
"""undecided: a centre may still turn out to be there; send, and free nothing.
broker: a PUBACK with success frees a message.
centre: the centre's acknowledgement frees it.
hold: the centre is away; send nothing that it would miss.
"""


def choose_ack_mode(
    ack_setting: Literal["auto", "broker"],
    centre_state: CentreState | None,
    *,
    centre_known: bool,
    subscribed_for_s: float,
) -> AckMode:
    """`state` is the newest that this connection was told, `centre_known` whether one was ever
    there, `subscribed_for_s` how long it would have been told.
    """
    if ack_setting == "broker":
        return "broker"
    if centre_state is not None:
        mode_by_state: dict[str, AckMode] = {
            "listening": "centre",
            "away": "hold",
            "retired": "broker",
        }
        return mode_by_state[centre_state.state]
    if centre_known:
        return "hold"
    return "broker" if subscribed_for_s >= CENTRE_STATE_WAIT_S else "undecided"
