"""One-time links and the sessions that they begin. No I/O but a warning in the log.

A link's token and a session's key have 128 bits from the system's generator, and are kept as hashes. A token is looked
up before the wrong ones of its sender are counted against it: guesses of another phone do not delay the right one.
"""

import base64
import hashlib
import ipaddress
import logging
from collections.abc import Callable

import msgspec

from agent.base.clock import Clock
from agent.base.lockout import Lockout
from agent.base.token_bucket import TokenBucket

log = logging.getLogger(__name__)

SECRET_BYTES = 16
LINK_LIFETIME_S = 300.0
MAX_SESSIONS = 4
"""One more ends the oldest."""
MAX_WRONG_TOKENS = 1000
"""For one link, of all senders: with 128 bits a guess is right with a chance of 1 in 3 * 10^35 by then."""
MAX_SENDERS = 64
"""Senders whose wrong tokens are counted; one more replaces the oldest."""
REQUESTS_PER_S, REQUEST_BURST = 15.0, 30.0


class LinkRefused(Exception):
    """A token is wrong, used or expired; all three look the same. `wait_s` is positive if the sender has to wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("this link is wrong, used or expired: type page link at the console")
        self.wait_s = wait_s


class _Session(msgspec.Struct, frozen=True):
    """A session: the request rate, and the sender that has logged in."""

    rate: TokenBucket
    sender: str


class PageSessions:
    """Links and sessions of one page. Used by one thread. `random_bytes` returns bytes that cannot be guessed."""

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._link_hash: bytes | None = None
        self._link_ends_ns = 0
        self._wrong_tokens = 0
        self._lockouts: dict[str, Lockout] = {}
        self._sessions: dict[bytes, _Session] = {}

    @property
    def count(self) -> int:
        """Sessions that are logged in."""
        return len(self._sessions)

    def new_link(self) -> str:
        """Return the token of a new link. An unused one before it is wrong from now on."""
        token = self._new_secret()
        self._link_hash = _hash(token)
        self._link_ends_ns = self._clock.boottime_ns() + int(LINK_LIFETIME_S * 1e9)
        self._wrong_tokens = 0
        return token

    def log_in(self, token: str, sender: str) -> str:
        """Use a link, and return the key of a new session. Raises LinkRefused."""
        is_right = self._link_hash is not None and _hash(token) == self._link_hash
        if is_right and self._clock.boottime_ns() < self._link_ends_ns:
            self._link_hash = None
            self._lockouts.pop(sender, None)
            if len(self._sessions) >= MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            key = self._new_secret()
            rate = TokenBucket(REQUESTS_PER_S, REQUEST_BURST, self._clock.boottime_ns())
            self._sessions[_hash(key)] = _Session(rate, sender)
            return key
        raise LinkRefused(self._count_wrong(sender))

    def find(self, key: str) -> TokenBucket | None:
        """Return the request rate of a session, or None if no session has this key."""
        session = self._sessions.get(_hash(key))
        return None if session is None else session.rate

    def has_session(self, sender: str) -> bool:
        """Return True if a session was begun by this sender."""
        return any(session.sender == sender for session in self._sessions.values())

    def log_out(self, key: str) -> None:
        """End a session, if there is one of this key."""
        self._sessions.pop(_hash(key), None)

    def _count_wrong(self, sender: str) -> float:
        """Count a wrong token, and return how long its sender has to wait."""
        lockout = self._lockouts.get(sender)
        if lockout is None:
            if len(self._lockouts) >= MAX_SENDERS:
                del self._lockouts[next(iter(self._lockouts))]
            lockout = self._lockouts[sender] = Lockout(None, self._clock, "")
        if lockout.remaining_s() > 0:
            return lockout.remaining_s()
        lockout.record_attempt()
        self._wrong_tokens += 1
        log.warning("a wrong link of %s, %d in a row", sender, lockout.failures)
        if self._wrong_tokens >= MAX_WRONG_TOKENS:
            self._link_hash = None
        return lockout.remaining_s()

    def _new_secret(self) -> str:
        return base64.b32encode(self._random_bytes(SECRET_BYTES)).decode().rstrip("=").lower()


def sender_of(address: str) -> str:
    """Return the sender that an address counts as: itself, or the network of an IPv6 address, which one phone has."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), 64), strict=False))


def _hash(secret: str) -> bytes:
    """Hash a secret: a comparison of hashes, however long it takes, shows nothing of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
