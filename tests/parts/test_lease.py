"""agent.ptz.lease and fencing_tokens: the table of requesters, expiry, increasing tokens."""

import json
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.commands.requester import ROLES, CommandRejected, Requester, Role
from agent.ptz.lease import BLOCK_SIZE, FencingTokens, LeaseArbiter
from agent.ptz.requests import Lease

TABLE: dict[Role, str] = {
    # requester  of: operator, incident, tracking, tour
    "operator": "yyyy",
    "incident": "nyyy",
    "tracking": "nnyy",
    "tour": "nnny",
}
ANNA, BRAHIM = Requester(id="anna", role="operator"), Requester(id="brahim", role="operator")
TOUR = Requester(id="tour night", role="tour")


def authority(lease_s: float = 30.0) -> LeaseArbiter:
    return LeaseArbiter("mast", lease_s, count(1).__next__)


@pytest.mark.parametrize("requester_role", ROLES)
@pytest.mark.parametrize("holds", ROLES)
def test_an_equal_or_stronger_requester_takes_the_head(requester_role: Role, holds: Role) -> None:
    right = authority()
    right.authorize(Requester(id="who holds", role=holds), None, 0)
    requester = Requester(id="who asks", role=requester_role)
    allowed = TABLE[requester_role][ROLES.index(holds)] == "y"
    assert right.would_grant(requester, 1) == allowed
    if allowed:
        assert right.authorize(requester, None, 1).holder == requester
        return
    with pytest.raises(CommandRejected, match="'who holds'") as refused:
        right.authorize(requester, None, 1)
    assert refused.value.code == "busy"


def test_the_holder_extends_the_lease_and_keeps_the_token() -> None:
    right = authority()
    first = right.authorize(ANNA, None, 0)
    again = right.authorize(ANNA, None, 10_000_000_000)
    assert again.token == first.token
    assert again.expires_ns == 40_000_000_000
    assert right.authorize(ANNA, None, 11_000_000_000, lease_s=1).expires_ns == 40_000_000_000


def test_a_lease_ends_at_its_time_and_any_requester_may_follow() -> None:
    right = authority()
    right.authorize(ANNA, None, 0, lease_s=5)
    assert right.lease(4_999_999_999) is not None
    assert right.lease(5_000_000_000) is None
    assert right.authorize(TOUR, None, 5_000_000_000).token == 2


def test_a_stale_token_is_rejected() -> None:
    right = authority()
    old = right.authorize(ANNA, None, 0)
    new = right.authorize(BRAHIM, None, 1)
    for requester, token in ((ANNA, old.token), (ANNA, new.token), (BRAHIM, old.token)):
        with pytest.raises(CommandRejected, match="is over") as refused:
            right.authorize(requester, token, 2)
        assert refused.value.code == "stale_token"
    assert right.authorize(BRAHIM, new.token, 2).token == new.token
    with pytest.raises(CommandRejected, match="the head is free"):
        right.authorize(BRAHIM, new.token, 40_000_000_000)


def test_a_request_without_a_token_takes_the_head() -> None:
    assert authority().authorize(ANNA, None, 0).holder == ANNA


def test_only_the_current_lease_can_be_released() -> None:
    right = authority()
    old = right.authorize(TOUR, None, 0)
    new = right.authorize(ANNA, None, 1)
    assert not right.release(TOUR, old.token, 2)
    assert right.lease(2) is not None
    assert right.release(ANNA, new.token, 2)
    assert right.lease(2) is None
    assert not right.release(ANNA, new.token, 2)


@pytest.mark.parametrize("requester_role", ROLES)
def test_only_its_holder_releases_a_lease_despite_a_leaked_token(requester_role: Role) -> None:
    right = authority()
    lease = right.authorize(ANNA, None, 0)
    with pytest.raises(
        CommandRejected, match=r"'anna' \(operator\) has the lease with token 1"
    ) as refused:
        right.release(Requester(id="who asks", role=requester_role), lease.token, 1)
    assert refused.value.code == "stale_token"
    assert right.lease(1) == lease
    # After its end a lease has no holder.
    assert not right.release(BRAHIM, lease.token, lease.expires_ns)


class AnyAskers(RuleBasedStateMachine):
    """Any requests in any order: one holder, never displaced by a weaker one."""

    def __init__(self) -> None:
        super().__init__()
        self.t_ns = 0
        self.right = authority(lease_s=3)
        self.newest: Lease | None = None
        self.given: list[Lease] = []

    def holder(self) -> Lease | None:
        return self.newest if self.newest and self.t_ns < self.newest.expires_ns else None

    @rule(
        requester_id=st.sampled_from("abc"),
        role=st.sampled_from(ROLES),
        lease_s=st.sampled_from([1.0, 5.0]),
    )
    def take(self, requester_id: str, role: Role, lease_s: float) -> None:
        requester, before = Requester(id=requester_id, role=role), self.holder()
        try:
            lease = self.right.authorize(requester, None, self.t_ns, lease_s)
        except CommandRejected:
            assert before is not None
            assert ROLES.index(role) > ROLES.index(before.holder.role)
            return
        if before is not None and before.holder == requester:
            assert lease.token == before.token
            assert lease.expires_ns >= before.expires_ns
        else:
            assert all(lease.token > earlier.token for earlier in self.given)
        self.newest = lease
        self.given.append(lease)

    @rule(which=st.integers(0, 20))
    def use(self, which: int) -> None:
        if not self.given:
            return
        lease, before = self.given[which % len(self.given)], self.holder()
        good = before is not None and before.token == lease.token
        if good:
            self.newest = self.right.authorize(lease.holder, lease.token, self.t_ns)
            return
        with pytest.raises(CommandRejected) as refused:
            self.right.authorize(lease.holder, lease.token, self.t_ns)
        assert refused.value.code == "stale_token"

    @rule(which=st.integers(0, 20))
    def release(self, which: int) -> None:
        if self.given:
            lease = self.given[which % len(self.given)]
            if self.right.release(lease.holder, lease.token, self.t_ns):
                self.newest = None

    @rule(seconds=st.floats(0.1, 4))
    def wait(self, seconds: float) -> None:
        self.t_ns += int(seconds * 1e9)

    @invariant()
    def the_holder_is_who_was_given_it_last(self) -> None:
        assert self.right.lease(self.t_ns) == self.holder()


TestAnyAskers = AnyAskers.TestCase


def test_tokens_increase_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "mast" / "tokens.json"
    given: list[int] = []
    for _ in range(4):
        tokens = FencingTokens(path)
        for _ in range(BLOCK_SIZE * 2 + 7):
            given.append(tokens.issue())
            tokens.reserve()
    assert given[0] == 1
    assert all(after > before for before, after in pairwise(given))


def test_a_token_is_issued_only_after_it_is_reserved_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = FencingTokens(path)
    for _ in range(BLOCK_SIZE * 3):
        tokens.reserve()
        assert tokens.issue() < json.loads(path.read_text())["state"]["next"]


def test_an_unreadable_token_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text('{"next": "soon"}')
    assert FencingTokens(path).issue() == 1
    assert (tmp_path / "tokens.json.unreadable").exists()


def test_without_a_disk_tokens_keep_increasing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tokens = FencingTokens(tmp_path / "file" / "tokens.json")
    assert [tokens.issue(), tokens.issue()] == [1, 2]
