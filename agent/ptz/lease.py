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

LONGEST_LEASE_S = 3600.0


def takes(role: Role, holder: Role | None) -> bool:
    """Whether who asks in a role takes the head from whom holds it in another, or from nobody."""
    return holder is None or ROLES.index(role) <= ROLES.index(holder)


class LeaseArbiter:
    """The right to move one head. Not for several threads at once: its head holds a lock.

    `next_token` gives a number above all those before it, those before a restart too.
    """

    def __init__(self, head: str, lease_s: float, next_token: Callable[[], int]) -> None:
        self._head = head
        self._lease_s = lease_s
        self._next_token = next_token
        self._lease: Lease | None = None

    def lease(self, t_ns: int) -> Lease | None:
        """The lease that is good at `t_ns`, None where there is none."""
        lease = self._lease
        return lease if lease is not None and t_ns < lease.expires_ns else None

    def gives(self, asker: Requester, t_ns: int) -> bool:
        """Whether `take` would give him the head."""
        lease = self.lease(t_ns)
        return lease is None or lease.holder == asker or takes(asker.role, lease.holder.role)

    def check(self, asker: Requester, token: int | None, t_ns: int) -> None:
        """Raise what `use` would raise, and change nothing."""
        lease = self.lease(t_ns)
        if token is not None and not (
            lease is not None and lease.token == token and lease.holder == asker
        ):
            has = "nobody has it" if lease is None else f"{lease.holder.id!r} has it"
            raise CommandRejected(
                "fenced",
                f"head {self._head!r}: the lease with token {token} is over, now {has}; "
                "take it again",
            )
        if lease is not None and not self.gives(asker, t_ns):
            left_s = (lease.expires_ns - t_ns) / 1e9
            raise CommandRejected(
                "busy",
                f"head {self._head!r}: {lease.holder.id!r} ({lease.holder.role}) has it for "
                f"{left_s:.0f} s more; {asker.role} does not take it from {lease.holder.role}",
            )

    def take(self, asker: Requester, t_ns: int, lease_s: float | None = None) -> Lease:
        """Take the head, or prolong one's own lease; it never gets shorter. Raises Refused `busy`
        where somebody stronger holds it.
        """
        self.check(asker, None, t_ns)
        wanted_s = self._lease_s if lease_s is None else min(lease_s, LONGEST_LEASE_S)
        expires_ns = t_ns + int(wanted_s * 1e9)
        lease = self.lease(t_ns)
        if lease is not None and lease.holder == asker:
            token, expires_ns = lease.token, max(expires_ns, lease.expires_ns)
        else:
            token = self._next_token()
        self._lease = Lease(head=self._head, holder=asker, token=token, expires_ns=expires_ns)
        return self._lease

    def use(
        self, asker: Requester, token: int | None, t_ns: int, lease_s: float | None = None
    ) -> Lease:
        """The right to do something now: `take` where no token is given, otherwise the lease of
        that token, prolonged. Raises Refused: `busy`, and `fenced` where the token is not that of
        the asker's own lease, or the lease is over.
        """
        self.check(asker, token, t_ns)
        return self.take(asker, t_ns, lease_s)

    def release(self, asker: Requester, token: int, t_ns: int) -> bool:
        """Give the head back; False where the token is of a lease that is over already. Raises
        Refused `fenced` where it is another's: whoever asks how the head is reads its token.
        """
        lease = self.lease(t_ns)
        if lease is None or lease.token != token:
            return False
        if lease.holder != asker:
            raise CommandRejected(
                "fenced",
                f"head {self._head!r}: {lease.holder.id!r} ({lease.holder.role}) has the lease with "
                f"token {token}; nobody else gives it back",
            )
        self._lease = None
        return True
