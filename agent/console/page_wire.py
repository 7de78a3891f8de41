"""Messages between the console, which turns the page at the pole on, and vigie-page.service, which serves it.

    console -> page    a PageStart, then PageOrders
    page -> console    a PageReady or a PageRefused, then the other reports

They are messages of the local wire, over the socket of vigie-page.socket. The page is on as long as the connection is open: a logout,
a lost cable and a killed console close it. This module is loaded by both processes, and loads nothing of the box.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.message import TextData
from agent.config.names import Name
from agent.faults.texts import Language
from drivers.local_wire import MessageDecoder

SOCKET = Path("run/vigie-page.socket")
"""Socket of vigie-page.socket, below the root of the system."""
ACTS_DIR = Path("run/vigie-page")
"""Folder of the acts' socket. Its mode is the gate: the agent's user and vigie-page's group alone get in."""
ACTS_SOCKET_NAME = "acts.sock"
MAX_MESSAGE_BYTES = 4096
DURATION_S = 30 * 60.0
DEFAULT_PORT, MIN_PORT, MAX_PORT = 8443, 1024, 65_535
MAX_ADDRESSES = 16

Port = Annotated[int, msgspec.Meta(ge=MIN_PORT, le=MAX_PORT)]
IpAddress = Annotated[str, msgspec.Meta(max_length=45)]
Sender = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f.:/]{2,45}$(?!\n)")]
"""An IP address, or an IPv6 network, as it is in a receipt."""
Token = Annotated[str, msgspec.Meta(pattern=r"^[a-z2-7]{26}$(?!\n)")]
Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class PageStart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message: serve the page on `port`. The certificate names the box and its `addresses`.

    `language` is the one of the console's session, for a phone that asks for none.
    """

    port: Port
    box_id: Name
    addresses: Annotated[tuple[IpAddress, ...], msgspec.Meta(max_length=MAX_ADDRESSES)]
    language: Language
    duration_s: Annotated[float, msgspec.Meta(gt=0, le=DURATION_S)] = DURATION_S


class PageOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A later message. `link`: make a new one-time link, in place of an unused one."""

    order: Literal["link"]


class PageReady(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ready"):
    """The page listens. `fingerprint` is the SHA-256 of its certificate in hex, `token` that of the first link."""

    fingerprint: Fingerprint
    token: Token


class PageRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="refused"):
    """The page is not turned on. The connection is closed."""

    reason: TextData


class PageLink(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="link"):
    """A new one-time link."""

    token: Token


class PageJoined(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="joined"):
    """A phone at `address` has used a link; `sessions` are logged in now."""

    address: Sender
    sessions: int


class PageUsed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="used"):
    """A phone that is logged in has sent requests. At most one such report in USED_INTERVAL_S."""


class PageEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ended"):
    """The time of the page is over. The connection is closed."""


USED_INTERVAL_S = 10.0

PageReport: TypeAlias = PageReady | PageRefused | PageLink | PageJoined | PageUsed | PageEnded
PAGE_REPORT_DECODER: MessageDecoder[PageReport] = MessageDecoder(PageReport)
