"""UUIDv7, identifiers that sort by their creation time: RFC 9562 section 5.7."""

import random
import uuid
from collections.abc import Callable

_VERSION = 7
_VARIANT = 0b10
_NS_PER_MS = 1_000_000
_MS_MASK = (1 << 48) - 1


def uuid7(unix_ms: int, rng: random.Random) -> str:
    """Return a UUIDv7 as text: 48 bits of milliseconds, then 74 random bits from `rng`."""
    value = (unix_ms & _MS_MASK) << 80
    value |= _VERSION << 76 | rng.getrandbits(12) << 64
    value |= _VARIANT << 62 | rng.getrandbits(62)
    return str(uuid.UUID(int=value))


def uuid7_factory(unix_ns: Callable[[int], int], rng: random.Random) -> Callable[[int], str]:
    """Return a function that makes a UUIDv7 of a `t_ns`; `unix_ns` converts it to ns since 1970."""
    return lambda t_ns: uuid7(unix_ns(t_ns) // _NS_PER_MS, rng)
