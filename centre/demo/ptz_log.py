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
from agent.ptz.messages import LeaseInfo, PtzResult
from centre.demo.event_text import sentence
from centre.demo.ptz_script import Person, Step

LineKind = Literal["head", "tour", "asks", "done", "refused", "lease", "event", "picture"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, after `t_s` seconds."""

    t_s: float
    kind: LineKind
    text: str


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as the box has told of it in a reply, the last time at `told_s`."""

    who: Person
    token: int
    told_s: float
    ends_s: float


class Milestones(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of the story, None for what did not happen."""

    stops: tuple[tuple[float, str], ...] = ()
    taken: Line | None = None
    run_out: Line | None = None
    resumed: Line | None = None
    asked: int = 0
    done: int = 0
    refused: tuple[Line, ...] = ()
    presets: tuple[str, ...] = ()
    events: int = 0
    panorama: Line | None = None


class PtzLog:
    """Is told, in order of time, what was asked, answered, seen and reported."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.held: Held | None = None
        """The newest lease of a person, until it is over."""
        self.so_far = Milestones()
        self.panorama_sha256: str | None = None
        """Of the picture that a sweep has been answered with."""
        self._asked: dict[str, Step] = {}
        self._tokens: dict[str, int] = {}
        self._head: HeadHealth | None = None
        self._holder: str | None = None
        self._rested: str | None = None
        self._interrupted = False

    def token_of(self, who: Person) -> int | None:
        """The token of his last lease."""
        return self._tokens.get(who.name)

    def asked(self, t_s: float, command: str, step: Step) -> None:
        """A command was sent."""
        self._asked[command] = step
        self._count(asked=self.so_far.asked + 1)
        self._tell(t_s, "asks", f"{step.who.title} {step.asks}")

    def replied(self, t_s: float, reply: Reply) -> bool:
        """What the box says to a command; whether it was the last word to one that was asked."""
        step = self._asked.get(reply.command or "")
        if step is None:
            return False
        match reply:
            case CommandAccepted():
                return False
            case CommandProgress():
                self._tell(t_s, "done", f"  {reply.share * 100:.0f} %: {reply.detail}")
                return False
            case CommandRefused():
                line = self._tell(t_s, "refused", f"  refused ({reply.kind}): {reply.why}")
                self._count(refused=(*self.so_far.refused, line))
            case CommandDone():
                self._count(done=self.so_far.done + 1)
                self._done(t_s, step, reply)
        del self._asked[reply.command or ""]
        return True

    def looked(self, t_s: float, head: HeadHealth) -> bool:
        """How the head is now; whether the tour has just come to rest at a stop."""
        before, self._head = self._head, head
        if head.open and (before is None or not before.open):
            self._tell(t_s, "head", f"the head '{head.name}' answers on its line")
        was = None if before is None else before.holder
        if was == "operator" != head.holder:
            self._left(t_s)
        if head.holder == "tour" != self._holder:
            self._toured(t_s, head)
        self._holder = head.holder or self._holder
        if head.moving or head.holder != "tour":
            self._rested = None
        elif head.preset is not None and head.preset != self._rested:
            self._rested = head.preset
            self._count(stops=(*self.so_far.stops, (t_s, head.preset)))
            self._tell(t_s, "tour", f"the tour stops at '{head.preset}'")
            return True
        return False

    def happened(self, t_s: float, event: Event) -> None:
        """An event of the box has reached the centre."""
        if event.phase != "update":
            self._count(events=self.so_far.events + 1)
            self._tell(t_s, "event", sentence(event))

    def pictured(self, t_s: float, path: Path) -> None:
        """A picture that somebody asked for has reached the centre."""
        self._tell(t_s, "picture", f"the picture has come: {path}")

    def all_around(self, t_s: float, path: Path) -> None:
        """The panorama is written."""
        line = self._tell(t_s, "picture", f"the panorama is written: {path}")
        self._count(panorama=line)

    def _done(self, t_s: float, step: Step, reply: CommandDone) -> None:
        if step.verb != "ptz":
            taken = msgspec.json.decode(reply.result, type=SnapshotResult)
            self._tell(t_s, "done", f"  done: a picture of {taken.size_bytes / 1000:.0f} kB")
            return
        result = msgspec.json.decode(reply.result, type=PtzResult)
        if result.panorama is not None:
            self.panorama_sha256 = result.panorama.sha256
            missing = f", {len(result.panorama.missing)} could not be taken"
            missing = missing if result.panorama.missing else ""
            self._tell(t_s, "done", f"  done, of {result.panorama.pictures} pictures{missing}")
            return
        do = step.args["do"]
        if do == "preset_set":
            self._count(presets=(*self.so_far.presets, step.args["preset"]))
        if do == "release":
            self.held = None
        lease = result.lease
        if lease is None or lease.by != step.who.name:
            self._tell(t_s, "done", "  done")
            return
        self._hold(t_s, step.who, lease)

    def _hold(self, t_s: float, who: Person, lease: LeaseInfo) -> None:
        self._tokens[who.name] = lease.token
        before = self.held
        self.held = Held(who=who, token=lease.token, told_s=t_s, ends_s=t_s + lease.left_s)
        self._tell(t_s, "done", f"  done: the head is {who.name}'s for {lease.left_s:.1f} s")
        is_new = before is None or before.token != lease.token
        if is_new and self.so_far.stops and self.so_far.taken is None:
            self._count(taken=Line(t_s=t_s, kind="done", text=f"by {who.title}, from the tour"))

    def _left(self, t_s: float) -> None:
        """A person has the head no more."""
        held, self.held = self.held, None
        if held is None or t_s < held.ends_s - 0.5:  # a look and a reply
            return
        silent_s = t_s - held.told_s
        line = self._tell(
            t_s,
            "lease",
            f"{held.who.title} has been silent for {silent_s:.0f} s: the lease has run out",
        )
        self._interrupted = True
        self._count(run_out=self.so_far.run_out or line)

    def _toured(self, t_s: float, head: HeadHealth) -> None:
        if not self._interrupted:
            self._tell(t_s, "tour", f"the tour '{head.tour}' has the head")
            return
        self._interrupted = False
        line = self._tell(t_s, "tour", f"the tour '{head.tour}' resumes by itself")
        self._count(resumed=self.so_far.resumed or line)

    def _count(self, **changes: object) -> None:
        self.so_far = msgspec.structs.replace(self.so_far, **changes)

    def _tell(self, t_s: float, kind: LineKind, text: str) -> Line:
        line = Line(t_s=t_s, kind=kind, text=text)
        self.lines.append(line)
        return line
