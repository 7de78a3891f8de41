"""`[renewal]` of the configuration: the EST server (RFC 7030) that renews the box's certificate."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from agent.base.message import Message, Text
from agent.config.broker import BrokerConfig
from agent.config.names import HttpsUrl

EST_PATH = "/.well-known/est"
"""RFC 7030, 3.2.2."""


class RenewalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[renewal]`: the server, and the authority of its certificate, by default that of the broker.

    EST_PATH is added to a URL without a path.
    """

    url: HttpsUrl
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None


def iter_renewal_conflicts(broker: BrokerConfig, context: str) -> Iterator[Text]:
    """Yield a line, which begins with `context`, for each key of `[broker]` that a renewal lacks."""
    if broker.certificate is None:
        yield Message(
            "{label}: has no use without broker.certificate and broker.key",
            label=f"{context}: renewal",
        )
    elif broker.ca is None:
        yield Message(
            "{label}: broker.ca is missing; a renewed certificate is checked with it",
            label=f"{context}: renewal",
        )
