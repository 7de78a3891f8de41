"""Structs of the wire contract that a centre publishes, except its commands. Pure."""

from typing import Annotated, Literal

import msgspec

from agent.reporting.payloads import AckedUpto, SeqRange

MAX_ALSO_RANGES = 1000
"""Of one acknowledgement. A centre sends those that it received last."""


class Ack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """On `down/ack/<centre>`: that centre has stored every message of this epoch up to `upto`, and
    those of `also`, which are above it or have just come again.
    """

    epoch: str
    upto: AckedUpto
    also: Annotated[tuple[SeqRange, ...], msgspec.Meta(max_length=MAX_ALSO_RANGES)] = ()


class SignedAck(Ack, frozen=True, kw_only=True, omit_defaults=True):
    """Signed claims of an acknowledgement: in addition the box that it is for."""

    box: str


CentreStateName = Literal["listening", "away", "retired"]


class CentreState(msgspec.Struct, frozen=True, kw_only=True):
    """On `vigie/v1/centre/<centre>/state`, retained, and that centre's will.

    listening: it stores and acknowledges. away: it will return; boxes keep messages for it.
    retired: it will not return. If no centre is left, a PUBACK frees messages. A centre that listens
    publishes it again each ten minutes and after each birth; boxes publish their birth again when one begins to.
    """

    state: CentreStateName
