"""Heads of incidents: leased for the person who ordered it, and sent to presets once.

All is done by commands, like those of an operator: priorities, forbidden sectors, masks and stops apply to them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.model import CommandDone, CommandRefused, IncidentOutcome, Outcome, Reply
from agent.commands.requester import Requester
from agent.incident.order import Permits
from agent.incident.record import IncidentRecord, SentHead
from agent.ptz import ptz_args
from agent.ptz.ptz_args import (
    LeaseInfo,
    PtzAcquireArgs,
    PtzGotoPresetArgs,
    PtzReleaseArgs,
    PtzResult,
)
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

LEASE_S = 120.0
RENEW_AFTER_S = 50.0
"""A lease is renewed twice before it would end. If the agent dies it ends by itself."""
RETRY_S = 10.0
ANSWER_TIMEOUT_S = 60.0
_PASSING_OUTCOMES = ("waiting", "busy", "failed")

RunCommand = Callable[[Requester, ptz_args.Args, Callable[[Reply], None]], None]
"""Runs a `ptz` command of a requester; the last reply comes on any thread."""


_RESULT_DECODER = JsonDecoder(PtzResult)
_OUTCOME_BY_CODE: Mapping[str, Outcome] = {
    "busy": "busy",
    "forbidden": "forbidden",
    "unknown": "unknown",
    "unsupported": "unsupported",
}


class _Governing(msgspec.Struct, frozen=True, kw_only=True):
    """The incident that a head follows. `preset` is None without one and when `sent` has what became of it."""

    incident: str
    requester: Requester
    preset: str | None
    sent: SentHead | None

    def outcome(self) -> tuple[Outcome, str | None]:
        """Return the outcome of a lease, and its detail, if there is no preset to send the head to."""
        return ("done", None) if self.sent is None else (self.sent.outcome, self.sent.detail)


class _HeadState:
    """One head. `lease` is that of `governing`, None without one."""

    def __init__(self) -> None:
        self.governing: _Governing | None = None
        self.lease: LeaseInfo | None = None
        self.outcome: Outcome = "waiting"
        self.detail: str | None = None
        self.pause = Pause()
        self.answer_pause = Pause()
        """Until the answer to a command, or until it is late."""


class IncidentHeads:
    """Keeps the leases. Used by one thread; `post` runs a function on it.

    Of several incidents that want a head the newest gets it; when that ends the others get it back. The lease is the
    signer's own, in the role of the order: with it they move the head by commands as always. It is not taken back from
    another requester of the same role, until that lease has ended.
    """

    def __init__(
        self,
        box: str,
        heads: Mapping[str, str | None],
        run_command: RunCommand,
        holder_of: Callable[[str], Requester | None],
        on_sent: Callable[[str, SentHead], None],
        clock_ns: Callable[[], int],
        post: Callable[[Callable[[], None]], None],
        permits: Permits,
    ) -> None:
        """`heads` have the camera of each head, if it carries one. `holder_of` returns the holder of a head's lease. `on_sent` gets the incident and a head that is not sent to its preset again."""
        self._box = box
        self._cameras = dict(heads)
        self._states = {head: _HeadState() for head in heads}
        self._permits = permits
        self._run_command = run_command
        self._holder_of = holder_of
        self._note_sent = on_sent
        self._clock_ns = clock_ns
        self._post = post

    def sync(self, running: Sequence[IncidentRecord]) -> None:
        """Acquire, renew and release leases."""
        now_ns = self._clock_ns()
        for head, state in self._states.items():
            governing = self._find_governing(running, head)
            if governing != state.governing:
                self._release(head, state)
                state.governing = governing
                state.outcome, state.detail = "waiting", None
                state.pause.end()
                state.answer_pause.end()
            is_due = state.pause.is_over(now_ns) and state.answer_pause.is_over(now_ns)
            if governing is None or not is_due:
                continue
            holder = self._holder_of(head)
            is_renewal = state.lease is not None
            if is_renewal and holder not in (None, governing.requester):
                # Another person has taken the head since, or the same one by a command of their own.
                is_same = (holder.id, holder.role) == (
                    governing.requester.id,
                    governing.requester.role,
                )
                state.outcome, state.detail = governing.outcome() if is_same else ("busy", None)
                state.pause.begin(now_ns, RETRY_S)
                continue
            self._acquire(head, state, governing, now_ns)

    def outcomes(self, record: IncidentRecord) -> tuple[IncidentOutcome, ...]:
        """Return what became of the order's `heads`, by head."""
        if record.order.heads is None:
            return ()
        return tuple(self._outcome(record, head, state) for head, state in self._states.items())

    def _outcome(self, record: IncidentRecord, head: str, state: _HeadState) -> IncidentOutcome:
        outcome, detail = state.outcome, state.detail
        if not self._permits(record.signer, "move", self._cameras[head]):
            outcome, detail = "forbidden", f"{record.signer.by} may not move it"
        elif state.governing is None or state.governing.incident != record.id:
            outcome, detail = "waiting", None
            if state.governing is not None:
                outcome, detail = "busy", f"the newer incident {state.governing.incident!r} has it"
        return IncidentOutcome(part="heads", of=head, outcome=outcome, detail=detail)

    def _find_governing(self, running: Sequence[IncidentRecord], head: str) -> _Governing | None:
        for record in reversed(running):
            heads = record.order.heads
            if heads is None or not self._permits(record.signer, "move", self._cameras[head]):
                continue
            sent = record.find_sent(head)
            return _Governing(
                incident=record.id,
                requester=_requester_for(record.signer, heads.role),
                preset=heads.preset_of(self._box, head) if sent is None else None,
                sent=sent,
            )
        return None

    def _acquire(self, head: str, state: _HeadState, governing: _Governing, now_ns: int) -> None:
        state.answer_pause.begin(now_ns, ANSWER_TIMEOUT_S)
        state.pause.begin(now_ns, RETRY_S)
        self._run_command(
            governing.requester,
            PtzAcquireArgs(head=head, lease_s=LEASE_S),
            lambda reply: self._post(lambda: self._on_acquired(head, state, governing, reply)),
        )

    def _on_acquired(
        self, head: str, state: _HeadState, governing: _Governing, reply: Reply
    ) -> None:
        lease = _lease_of(reply)
        if state.governing != governing:
            if lease is not None:
                self._release_lease(head, governing.requester, lease)
            return
        state.answer_pause.end()
        if lease is None:
            state.outcome, state.detail = _refusal_of(reply)
            return
        now_ns = self._clock_ns()
        state.lease = lease
        state.pause.begin(now_ns, RENEW_AFTER_S)
        if governing.preset is None:
            if state.outcome in _PASSING_OUTCOMES:
                state.outcome, state.detail = governing.outcome()
            return
        state.answer_pause.begin(now_ns, ANSWER_TIMEOUT_S)
        self._run_command(
            governing.requester,
            PtzGotoPresetArgs(head=head, preset=governing.preset, token=lease.token),
            lambda answer: self._post(lambda: self._on_sent(head, state, governing, answer)),
        )

    def _on_sent(self, head: str, state: _HeadState, governing: _Governing, reply: Reply) -> None:
        if state.governing != governing:
            return
        state.answer_pause.end()
        if isinstance(reply, CommandDone):
            state.outcome, state.detail = "done", None
        else:
            state.outcome, state.detail = _refusal_of(reply)
            if state.outcome in _PASSING_OUTCOMES:
                state.pause.begin(self._clock_ns(), RETRY_S)
                return
        # Not again: an operator may turn the head from now on, and an unknown preset stays unknown.
        sent = SentHead(head=head, outcome=state.outcome, detail=state.detail)
        state.governing = msgspec.structs.replace(governing, preset=None, sent=sent)
        self._note_sent(governing.incident, sent)

    def _release(self, head: str, state: _HeadState) -> None:
        lease, governing = state.lease, state.governing
        state.lease = None
        if lease is not None and governing is not None:
            self._release_lease(head, governing.requester, lease)

    def _release_lease(self, head: str, requester: Requester, lease: LeaseInfo) -> None:
        self._run_command(
            requester, PtzReleaseArgs(head=head, token=lease.token), lambda _reply: None
        )


def _requester_for(signer: Requester, role: str) -> Requester:
    """Return the requester of the lease. An incident's coordinator is none of an operator's rank."""
    is_operator = role == "operator" and signer.role == "operator"
    return Requester(id=signer.id, role="operator" if is_operator else "incident")


def _lease_of(reply: Reply) -> LeaseInfo | None:
    if not isinstance(reply, CommandDone):
        return None
    try:
        return _RESULT_DECODER.decode(bytes(reply.result)).lease
    except MalformedJson:
        return None


def _refusal_of(reply: Reply) -> tuple[Outcome, str]:
    if isinstance(reply, CommandRefused):
        return _OUTCOME_BY_CODE.get(reply.code, "failed"), reply.message
    return "failed", "no answer"
