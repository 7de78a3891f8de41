"""URLs of the configuration."""

import ipaddress
from urllib.parse import SplitResult, urlsplit


def without_query(url: str) -> str:
    """Return a URL for messages and logs: the query of a signed address is a secret."""
    address, mark, _ = url.partition("?")
    return f"{address}{mark and '?..'}"


def split_url(url: str, *schemes: str) -> SplitResult | None:
    """Split a URL, or return None if it has none of these schemes or lacks a host."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_valid else None


def is_this_machine(url: str) -> bool:
    """Return whether the host of a URL is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
