"""Log of the demo with a head, from replies, events and head health. Pure.

Nothing is taken from the script: each line is the box's own report.
"""

from pathlib import Path
from typing import Literal

import msgspec

from agent.app.event_types import EVENT_TYPES
from agent.base.health_model import HeadHealth
from agent.base.json_decode import decode_json
from agent.base.model import (
    CommandAccepted,
    CommandDone,
    CommandProgress,
    CommandRefused,
    Event,
    Reply,
)
from agent.capture.snapshot_command import SnapshotResult
from agent.ptz.ptz_args import LeaseInfo, PtzResult
from centre.demo.ptz_script import Person, ScriptStep
from centre.demo.stats import LogLine

PtzLogKind = Literal["head", "tour", "asks", "done", "refused", "lease", "event", "picture"]


class ReportedLease(msgspec.Struct, frozen=True, kw_only=True):
    """A person's lease, as the newest reply at `reported_s` states it."""

    person: Person
    token: int
    reported_s: float
    expires_s: float


class Milestones(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and turning points of a run; None if one did not happen."""

    tour_stops: tuple[tuple[float, str], ...] = ()
    takeover: LogLine | None = None
    lease_expiry: LogLine | None = None
    tour_resumption: LogLine | None = None
    commands_sent: int = 0
    commands_done: int = 0
    refusals: tuple[LogLine, ...] = ()
    stored_presets: tuple[str, ...] = ()
    event_count: int = 0
    panorama: LogLine | None = None


class PtzLog:
    """Builds the log and the milestones. Calls must come in order of time."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.lease: ReportedLease | None = None
        """The newest lease of a person, until it ends."""
        self.milestones = Milestones()
        self.panorama_sha256: str | None = None
        """SHA-256 of the panorama, from the reply to the sweep."""
        self._pending_steps: dict[str, ScriptStep] = {}
        self._lease_tokens: dict[str, int] = {}
        self._last_head: HeadHealth | None = None
        self._last_holder: str | None = None
        self._last_stop: str | None = None
        self._tour_interrupted = False

    def lease_token(self, person: Person) -> int | None:
        """Return the token of the person's newest lease, or None if they had none."""
        return self._lease_tokens.get(person.name)

    def add_command(self, t_s: float, command_id: str, step: ScriptStep) -> None:
        """Log a command that was sent."""
        self._pending_steps[command_id] = step
        self._update_milestones(commands_sent=self.milestones.commands_sent + 1)
        self._append(t_s, "asks", f"{step.person.title} {step.action_text}")

    def add_reply(self, t_s: float, reply: Reply) -> bool:
        """Log a reply. Return whether it is the final one to a logged command."""
        step = self._pending_steps.get(reply.command or "")
        if step is None:
            return False
        match reply:
            case CommandAccepted():
                return False
            case CommandProgress():
                self._append(t_s, "done", f"  {reply.progress * 100:.0f} %: {reply.detail}")
                return False
            case CommandRefused():
                line = self._append(t_s, "refused", f"  refused ({reply.code}): {reply.message}")
                self._update_milestones(refusals=(*self.milestones.refusals, line))
            case CommandDone():
                self._update_milestones(commands_done=self.milestones.commands_done + 1)
                self._log_result(t_s, step, reply)
        del self._pending_steps[reply.command or ""]
        return True

    def update_head(self, t_s: float, head: HeadHealth) -> bool:
        """Log changes of the head. Return whether the tour has just reached a stop."""
        previous, self._last_head = self._last_head, head
        if head.open and (previous is None or not previous.open):
            self._append(t_s, "head", f"head '{head.name}' answers on its serial line")
        previous_holder = None if previous is None else previous.holder
        if previous_holder == "operator" != head.holder:
            self._end_lease(t_s)
        if head.holder == "tour" != self._last_holder:
            self._log_tour(t_s, head)
        self._last_holder = head.holder or self._last_holder
        if head.moving or head.holder != "tour":
            self._last_stop = None
        elif head.preset is not None and head.preset != self._last_stop:
            self._last_stop = head.preset
            self._update_milestones(tour_stops=(*self.milestones.tour_stops, (t_s, head.preset)))
            self._append(t_s, "tour", f"the tour stops at preset '{head.preset}'")
            return True
        return False

    def add_event(self, t_s: float, event: Event) -> None:
        """Log an event that the centre has received."""
        if event.phase != "update":
            self._update_milestones(event_count=self.milestones.event_count + 1)
            self._append(t_s, "event", EVENT_TYPES[event.kind].describe(event))

    def add_snapshot(self, t_s: float, path: Path) -> None:
        """Log a requested snapshot that the centre has received."""
        self._append(t_s, "picture", f"snapshot received: {path}")

    def add_panorama(self, t_s: float, path: Path) -> None:
        """Log that the panorama was written."""
        line = self._append(t_s, "picture", f"panorama written: {path}")
        self._update_milestones(panorama=line)

    def _log_result(self, t_s: float, step: ScriptStep, reply: CommandDone) -> None:
        if step.verb != "ptz":
            snapshot = decode_json(reply.result, SnapshotResult)
            self._append(t_s, "done", f"  done: a snapshot of {snapshot.size_bytes / 1000:.0f} kB")
            return
        result = decode_json(reply.result, PtzResult)
        if result.panorama is not None:
            self.panorama_sha256 = result.panorama.sha256
            missing = f", {len(result.panorama.missing)} missing"
            missing = missing if result.panorama.missing else ""
            self._append(
                t_s, "done", f"  done: a panorama of {result.panorama.frames} frames{missing}"
            )
            return
        action = step.args["do"]
        if action == "set_preset":
            self._update_milestones(
                stored_presets=(*self.milestones.stored_presets, step.args["preset"])
            )
        if action == "release":
            self.lease = None
        lease = result.lease
        if lease is None or lease.by != step.person.name:
            self._append(t_s, "done", "  done")
            return
        self._log_lease(t_s, step.person, lease)

    def _log_lease(self, t_s: float, person: Person, lease: LeaseInfo) -> None:
        self._lease_tokens[person.name] = lease.token
        previous = self.lease
        self.lease = ReportedLease(
            person=person, token=lease.token, reported_s=t_s, expires_s=t_s + lease.remaining_s
        )
        self._append(
            t_s, "done", f"  done: {person.name} has the lease for {lease.remaining_s:.1f} s"
        )
        is_new = previous is None or previous.token != lease.token
        if is_new and self.milestones.tour_stops and self.milestones.takeover is None:
            self._update_milestones(
                takeover=LogLine(t_s=t_s, kind="done", text=f"by {person.title}, from the tour")
            )

    def _end_lease(self, t_s: float) -> None:
        """Log the end of a person's lease, unless they released it."""
        lease, self.lease = self.lease, None
        if lease is None or self._is_releasing(lease.person):
            return
        silent_s = t_s - lease.reported_s
        line = self._append(
            t_s,
            "lease",
            f"no command from {lease.person.title} for {silent_s:.0f} s: the lease has expired",
        )
        if self.milestones.takeover is not None:  # else it has ended in the set-up, before a tour
            self._tour_interrupted = True
            self._update_milestones(lease_expiry=self.milestones.lease_expiry or line)

    def _is_releasing(self, person: Person) -> bool:
        """Return whether the reply to the person's release is still to come."""
        return any(
            step.person == person and step.args.get("do") == "release"
            for step in self._pending_steps.values()
        )

    def _log_tour(self, t_s: float, head: HeadHealth) -> None:
        if not self._tour_interrupted:
            self._append(t_s, "tour", f"tour '{head.tour}' has the head")
            return
        self._tour_interrupted = False
        line = self._append(t_s, "tour", f"tour '{head.tour}' resumes by itself")
        self._update_milestones(tour_resumption=self.milestones.tour_resumption or line)

    def _update_milestones(self, **changes: object) -> None:
        self.milestones = msgspec.structs.replace(self.milestones, **changes)

    def _append(self, t_s: float, kind: PtzLogKind, text: str) -> LogLine:
        line = LogLine(t_s=t_s, kind=kind, text=text)
        self.lines.append(line)
        return line
