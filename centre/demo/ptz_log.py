"""What happened to the demo's head, line by line: out of what the box said over MQTT, and of how its
head was. Pure; nothing in it is taken from what somebody was to do.
"""

from pathlib import Path
from typing import Literal

import msgspec

from agent.base.health_model import HeadHealth
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
from centre.demo.event_text import describe_event
from centre.demo.ptz_script import Person, ScriptStep

PtzLogKind = Literal["head", "tour", "asks", "done", "refused", "lease", "event", "picture"]


class PtzLogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, after `t_s` seconds."""

    t_s: float
    kind: PtzLogKind
    text: str


class ReportedLease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as the box has told of it in a reply, the last time at `told_s`."""

    person: Person
    token: int
    reported_s: float
    expires_s: float


class Milestones(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of the story, None for what did not happen."""

    tour_stops: tuple[tuple[float, str], ...] = ()
    takeover: PtzLogLine | None = None
    lease_expiry: PtzLogLine | None = None
    tour_resumption: PtzLogLine | None = None
    commands_sent: int = 0
    commands_done: int = 0
    refusals: tuple[PtzLogLine, ...] = ()
    stored_presets: tuple[str, ...] = ()
    event_count: int = 0
    panorama: PtzLogLine | None = None


class PtzLog:
    """Is told, in order of time, what was asked, answered, seen and reported."""

    def __init__(self) -> None:
        self.lines: list[PtzLogLine] = []
        self.lease: ReportedLease | None = None
        """The newest lease of a person, until it is over."""
        self.milestones = Milestones()
        self.panorama_sha256: str | None = None
        """Of the picture that a sweep has been answered with."""
        self._pending_steps: dict[str, ScriptStep] = {}
        self._lease_tokens: dict[str, int] = {}
        self._last_head: HeadHealth | None = None
        self._last_holder: str | None = None
        self._last_stop: str | None = None
        self._tour_interrupted = False

    def lease_token(self, person: Person) -> int | None:
        """The token of his last lease."""
        return self._lease_tokens.get(person.name)

    def add_command(self, t_s: float, command_id: str, step: ScriptStep) -> None:
        """A command was sent."""
        self._pending_steps[command_id] = step
        self._update_milestones(commands_sent=self.milestones.commands_sent + 1)
        self._append(t_s, "asks", f"{step.person.title} {step.action_text}")

    def add_reply(self, t_s: float, reply: Reply) -> bool:
        """What the box says to a command; whether it was the last word to one that was asked."""
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
        """How the head is now; whether the tour has just come to rest at a stop."""
        previous, self._last_head = self._last_head, head
        if head.open and (previous is None or not previous.open):
            self._append(t_s, "head", f"the head '{head.name}' answers on its line")
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
            self._append(t_s, "tour", f"the tour stops at '{head.preset}'")
            return True
        return False

    def add_event(self, t_s: float, event: Event) -> None:
        """An event of the box has reached the centre."""
        if event.phase != "update":
            self._update_milestones(event_count=self.milestones.event_count + 1)
            self._append(t_s, "event", describe_event(event))

    def add_snapshot(self, t_s: float, path: Path) -> None:
        """A picture that somebody asked for has reached the centre."""
        self._append(t_s, "picture", f"the picture has come: {path}")

    def add_panorama(self, t_s: float, path: Path) -> None:
        """The panorama is written."""
        line = self._append(t_s, "picture", f"the panorama is written: {path}")
        self._update_milestones(panorama=line)

    def _log_result(self, t_s: float, step: ScriptStep, reply: CommandDone) -> None:
        if step.verb != "ptz":
            snapshot = msgspec.json.decode(reply.result, type=SnapshotResult)
            self._append(t_s, "done", f"  done: a picture of {snapshot.size_bytes / 1000:.0f} kB")
            return
        result = msgspec.json.decode(reply.result, type=PtzResult)
        if result.panorama is not None:
            self.panorama_sha256 = result.panorama.sha256
            missing = f", {len(result.panorama.missing)} could not be taken"
            missing = missing if result.panorama.missing else ""
            self._append(t_s, "done", f"  done, of {result.panorama.frames} pictures{missing}")
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
            t_s, "done", f"  done: the head is {person.name}'s for {lease.remaining_s:.1f} s"
        )
        is_new = previous is None or previous.token != lease.token
        if is_new and self.milestones.tour_stops and self.milestones.takeover is None:
            self._update_milestones(
                takeover=PtzLogLine(t_s=t_s, kind="done", text=f"by {person.title}, from the tour")
            )

    def _end_lease(self, t_s: float) -> None:
        """A person has the head no more."""
        lease, self.lease = self.lease, None
        if lease is None or t_s < lease.expires_s - 0.5:  # a look and a reply
            return
        silent_s = t_s - lease.reported_s
        line = self._append(
            t_s,
            "lease",
            f"{lease.person.title} has been silent for {silent_s:.0f} s: the lease has run out",
        )
        self._tour_interrupted = True
        self._update_milestones(lease_expiry=self.milestones.lease_expiry or line)

    def _log_tour(self, t_s: float, head: HeadHealth) -> None:
        if not self._tour_interrupted:
            self._append(t_s, "tour", f"the tour '{head.tour}' has the head")
            return
        self._tour_interrupted = False
        line = self._append(t_s, "tour", f"the tour '{head.tour}' resumes by itself")
        self._update_milestones(tour_resumption=self.milestones.tour_resumption or line)

    def _update_milestones(self, **changes: object) -> None:
        self.milestones = msgspec.structs.replace(self.milestones, **changes)

    def _append(self, t_s: float, kind: PtzLogKind, text: str) -> PtzLogLine:
        line = PtzLogLine(t_s=t_s, kind=kind, text=text)
        self.lines.append(line)
        return line
