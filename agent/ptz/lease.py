"""Who may move a head: operator above incident above tracking above tour. Pure.

| asks, held by | nobody | tour | tracking | incident | operator |
|---|---|---|---|---|---|
| operator | takes | takes | takes | takes | takes |
| incident | takes | takes | takes | takes | busy |
| tracking | takes | takes | takes | busy | busy |
| tour     | takes | takes | busy | busy | busy |

Who holds it and asks again prolongs. Of two that are equal the later one has it: two operators of
one centre can talk to each other, and a page that was left open must not keep a head.
"""

from collections.abc import Callable

from agent.commands.requester import ROLES, CommandRejected, Requester, Role
from agent.ptz.requests import Lease

MAX_LEASE_S = 3600.0


def can_preempt(role: Role, holder: Role | None) -> bool:
    """Whether who asks in a role takes the head from whom holds it in another, or from nobody."""
    return holder is None or ROLES.index(role) <= ROLES.index(holder)


class LeaseArbiter:
    """The right to move one head. Not for several threads at once: its head holds a lock.

    `next_token` gives a number above all those before it, those before a restart too.
    """

    def __init__(self, head_name: str, lease_s: float, next_token: Callable[[], int]) -> None:
        self._head_name = head_name
        self._lease_s = lease_s
        self._next_token = next_token
        self._lease: Lease | None = None

    def lease(self, t_ns: int) -> Lease | None:
        """The lease that is good at `t_ns`, None where there is none."""
        lease = self._lease
        return lease if lease is not None and t_ns < lease.expires_ns else None

    def would_grant(self, requester: Requester, t_ns: int) -> bool:
        """Whether `take` would give him the head."""
        lease = self.lease(t_ns)
        return (
            lease is None
            or lease.holder == requester
            or can_preempt(requester.role, lease.holder.role)
        )

    def check_authorized(self, requester: Requester, token: int | None, t_ns: int) -> None:
        """Raise what `use` would raise, and change nothing."""
        lease = self.lease(t_ns)
        if token is not None and not (
            lease is not None and lease.token == token and lease.holder == requester
        ):
            holder_text = "nobody has it" if lease is None else f"{lease.holder.id!r} has it"
            raise CommandRejected(
                "stale_token",
                f"head {self._head_name!r}: the lease with token {token} is over, now {holder_text}; "
                "take it again",
            )
        if lease is not None and not self.would_grant(requester, t_ns):
            remaining_s = (lease.expires_ns - t_ns) / 1e9
            raise CommandRejected(
                "busy",
                f"head {self._head_name!r}: {lease.holder.id!r} ({lease.holder.role}) has it for "
                f"{remaining_s:.0f} s more; {requester.role} does not take it from {lease.holder.role}",
            )

    def acquire(self, requester: Requester, t_ns: int, lease_s: float | None = None) -> Lease:
        """Take the head, or prolong one's own lease; it never gets shorter. Raises CommandRejected `busy`
        where somebody stronger holds it.
        """
        self.check_authorized(requester, None, t_ns)
        duration_s = self._lease_s if lease_s is None else min(lease_s, MAX_LEASE_S)
        expires_ns = t_ns + int(duration_s * 1e9)
        lease = self.lease(t_ns)
        if lease is not None and lease.holder == requester:
            token, expires_ns = lease.token, max(expires_ns, lease.expires_ns)
        else:
            token = self._next_token()
        self._lease = Lease(
            head=self._head_name, holder=requester, token=token, expires_ns=expires_ns
        )
        return self._lease

    def authorize(
        self, requester: Requester, token: int | None, t_ns: int, lease_s: float | None = None
    ) -> Lease:
        """The right to do something now: `take` where no token is given, otherwise the lease of
        that token, prolonged. Raises CommandRejected: `busy`, and `stale_token` where the token is not that of
        the asker's own lease, or the lease is over.
        """
        self.check_authorized(requester, token, t_ns)
        return self.acquire(requester, t_ns, lease_s)

    def release(self, requester: Requester, token: int, t_ns: int) -> bool:
        """Give the head back; False where the token is of a lease that is over already. Raises
        Refused `stale_token` where it is another's: whoever asks how the head is reads its token.
        """
        lease = self.lease(t_ns)
        if lease is None or lease.token != token:
            return False
        if lease.holder != requester:
            raise CommandRejected(
                "stale_token",
                f"head {self._head_name!r}: {lease.holder.id!r} ({lease.holder.role}) has the lease with "
                f"token {token}; nobody else gives it back",
            )
        self._lease = None
        return True
