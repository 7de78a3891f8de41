"""The lease of a head, and its fencing tokens: operator above incident above tracking above tour.

| requester | free | tour | tracking | incident | operator |
|---|---|---|---|---|---|
| operator | takes | takes | takes | takes | takes |
| incident | takes | takes | takes | takes | busy |
| tracking | takes | takes | takes | busy | busy |
| tour     | takes | takes | busy | busy | busy |

The holder prolongs its lease by each request. Of two equal roles the later request gets the head:
two operators of one centre can talk to each other, and a page that was left open must not keep a
head.

A fencing token is a number that counts up over restarts, without trust in any clock:

    heads/mast/tokens.json    a state file: {"next": 3000}

Numbers are reserved on the disk a block ahead, so that issuing one never waits for the disk. A restart skips the
rest of the block.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base.state_file import StateFile
from agent.base.state_inventory import StateInventory
from agent.commands.requester import ROLES, CommandRejected, Requester, Role
from agent.ptz.requests import Lease

MAX_LEASE_S = 3600.0


def can_preempt(role: Role, holder: Role | None) -> bool:
    """Return whether `role` may take the head: it is free, or held by an equal or weaker role."""
    return holder is None or ROLES.index(role) <= ROLES.index(holder)


class LeaseArbiter:
    """The lease of one head. Not thread-safe: its head holds a lock.

    `next_token` returns a number above all those before it, those before a restart too.
    """

    def __init__(self, head_name: str, lease_s: float, next_token: Callable[[], int]) -> None:
        self._head_name = head_name
        self._lease_s = lease_s
        self._next_token = next_token
        self._lease: Lease | None = None

    def lease(self, t_ns: int) -> Lease | None:
        """Return the lease that is good at `t_ns`, or None."""
        lease = self._lease
        return lease if lease is not None and t_ns < lease.expires_ns else None

    def would_grant(self, requester: Requester, t_ns: int) -> bool:
        """Return whether a request without a token would be authorized."""
        lease = self.lease(t_ns)
        return (
            lease is None
            or lease.holder == requester
            or can_preempt(requester.role, lease.holder.role)
        )

    def check_authorized(self, requester: Requester, token: int | None, t_ns: int) -> None:
        """Raise what `authorize` would raise, and change nothing."""
        lease = self.lease(t_ns)
        if token is not None and not (
            lease is not None and lease.token == token and lease.holder == requester
        ):
            holder_text = "the head is free" if lease is None else f"{lease.holder.id!r} has it"
            raise CommandRejected(
                "stale_token",
                f"head {self._head_name!r}: the lease with token {token} is over, now {holder_text}; "
                "acquire it again",
            )
        if lease is not None and not self.would_grant(requester, t_ns):
            raise CommandRejected(
                "busy",
                f"head {self._head_name!r}: {lease.holder.id!r} ({lease.holder.role}) has it for "
                f"{lease.remaining_s(t_ns):.0f} s more; {requester.role} does not take it from "
                f"{lease.holder.role}",
            )

    def authorize(
        self, requester: Requester, token: int | None, t_ns: int, lease_s: float | None = None
    ) -> Lease:
        """Acquire the head, or prolong the requester's own lease, which never gets shorter.

        Raises: CommandRejected `busy` if a stronger role holds it, `stale_token` if a token is
        given that is not that of the requester's present lease.
        """
        self.check_authorized(requester, token, t_ns)
        duration_s = self._lease_s if lease_s is None else min(lease_s, MAX_LEASE_S)
        expires_ns = t_ns + int(duration_s * 1e9)
        lease = self.lease(t_ns)
        if lease is not None and lease.holder == requester:
            new_token, expires_ns = lease.token, max(expires_ns, lease.expires_ns)
        else:
            new_token = self._next_token()
        self._lease = Lease(
            head=self._head_name, holder=requester, token=new_token, expires_ns=expires_ns
        )
        return self._lease

    def release(self, requester: Requester, token: int, t_ns: int) -> bool:
        """Release the head; return False if the token is of a lease that is over already.

        Raises: CommandRejected `stale_token` if the lease is another's: `status` shows its token
        to every requester.
        """
        lease = self.lease(t_ns)
        if lease is None or lease.token != token:
            return False
        if lease.holder != requester:
            raise CommandRejected(
                "stale_token",
                f"head {self._head_name!r}: {lease.holder.id!r} ({lease.holder.role}) has the lease with "
                f"token {token}; only its holder releases it",
            )
        self._lease = None
        return True


log = logging.getLogger(__name__)

BLOCK_SIZE = 1000


class _TokenFile(msgspec.Struct, frozen=True):
    """`next` is the first number that cannot have been issued."""

    next: int


class FencingTokens:
    """The tokens of one head. `issue` is called under its head's lock, `reserve` by one thread.

    If the disk fails, numbers continue in memory and may be issued twice after a restart. That
    cannot hand the head to another requester: a token is good for its own holder only.
    """

    def __init__(self, path: Path, inventory: StateInventory | None = None) -> None:
        label = f"{path.parent.name}/{path.name}"
        self._file = StateFile(path, _TokenFile, label=label, inventory=inventory)
        stored = self._file.load() or _TokenFile(next=1)
        self._next_token = self._reserved_until = max(1, stored.next)
        self.reserve()

    def issue(self) -> int:
        """Return the next number, from 1."""
        token = self._next_token
        self._next_token += 1
        return token

    def reserve(self) -> None:
        """Reserve a block on the disk if less than half of one is left."""
        if self._reserved_until - self._next_token >= BLOCK_SIZE // 2:
            return
        reserved_until = self._next_token + BLOCK_SIZE
        try:
            self._file.write(_TokenFile(next=reserved_until))
        except OSError as error:
            log.error("%s: tokens cannot be reserved: %s", self._file.path, error)
        # Retried at the next block only: a failing disk is not written to in each cycle.
        self._reserved_until = reserved_until
