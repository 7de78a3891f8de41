"""The address of a video server that a command names: checked, and written again from its parts. Pure.

FFmpeg reads options out of an address, such as UDP as the transport, and has a parser of its own. So the
address that it gets has no query, and is put together from what was checked here.
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import quote, unquote

import msgspec

from agent.base.url import split_url
from agent.commands.requester import CommandRejected

DEFAULT_PORTS = {"rtsps": 322, "rtsp": 554}
MAX_URL_CHARS = 1000
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_FORM = "rtsps://[USER:PASSWORD@]HOST[:322]/PATH, without a query"


class VideoTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A checked address. `url` may have a password; `display_name` is for messages and receipts."""

    url: str
    host: str
    port: int

    @property
    def display_name(self) -> str:
        """Host and port: the path may be a secret too."""
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"VideoTarget({self.display_name})"


def parse_target(url: str, allowed_hosts: Collection[str]) -> VideoTarget:
    """Check an address. Raises: CommandRejected, with a message that does not quote it."""
    if not allowed_hosts:
        raise CommandRejected(
            "unsupported", "this box sends no video away: [link] upload_hosts names no host"
        )
    parts = split_url(url, *DEFAULT_PORTS) if url.isascii() and url.isprintable() else None
    if (
        parts is None
        or len(url) > MAX_URL_CHARS
        or parts.query
        or parts.fragment
        or not _PATH.fullmatch(parts.path)
    ):
        raise CommandRejected("malformed", f"command live: to: allowed: {_FORM}")
    host = (parts.hostname or "").lower()
    if host not in {one.lower() for one in allowed_hosts}:
        raise CommandRejected(
            "forbidden",
            f"video server {host!r}: allowed: {', '.join(allowed_hosts)} ([link] upload_hosts)",
        )
    if parts.scheme != "rtsps" and not _is_loopback(host):
        raise CommandRejected(
            "forbidden", f"video server {host!r}: rtsp:// is not encrypted; allowed: rtsps://"
        )
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    user = ""
    if parts.username is not None:
        user = f"{_quoted(parts.username)}:{_quoted(parts.password or '')}@"
    shown_host = f"[{host}]" if ":" in host else host
    return VideoTarget(
        url=f"{parts.scheme}://{user}{shown_host}:{port}{parts.path}", host=host, port=port
    )


def _quoted(text: str) -> str:
    return quote(unquote(text), safe="")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
