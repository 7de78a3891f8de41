"""Limit of the restarts for versions of the centre's configuration: each costs a second or two of footage. Pure."""

import msgspec

from agent.config.desired_store import ConfigLayer, VersionRestarts

MAX_RESTARTS, WINDOW_S = 3, 900
"""A box whose centre sends a version each second lost a fifth of its footage. The return to the version before never waits."""


class DeferredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that waits until the agent may restart for it, and its message."""

    payload: bytes
    layer: ConfigLayer
    until_ns: int


def next_restart_ns(restarts: VersionRestarts, boot: str) -> int:
    """Return the earliest time of the next restart for a version, 0 if there were few in this boot."""
    if restarts.boot != boot or len(restarts.times_ns) < MAX_RESTARTS:
        return 0
    return restarts.times_ns[-MAX_RESTARTS] + WINDOW_S * 10**9


def with_restart(restarts: VersionRestarts, boot: str, now_ns: int) -> VersionRestarts:
    """Return the newest restarts of this boot, with one more."""
    earlier = restarts.times_ns if restarts.boot == boot else ()
    return VersionRestarts(boot=boot, times_ns=(*earlier, now_ns)[-MAX_RESTARTS:])
