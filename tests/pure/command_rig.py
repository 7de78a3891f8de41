"""A desk with heads that behave as far as commands can tell, and can be held up."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.model import CommandDone, CommandRefused, Reply
from agent.commands.command import CommandHandler
from agent.commands.dispatcher import CommandDispatcher, IncomingCommand
from agent.commands.idempotency_store import IdempotencyStore
from agent.commands.requester import Requester
from agent.faults.registry import FaultRegistry
from agent.ptz.lease import LeaseArbiter
from agent.ptz.presets import Preset, Presets
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.ptz.requests import HeadState, Lease, Wish
from drivers.contracts import Aux, Pose, PtzAbilities, PtzPosition, Range
from tests.conftest import HeldClock

EXPIRES = "2026-11-25T00:01:00Z"
WAIT_S = 30.0

MOVE = {"do": "move", "head": "mast", "pan": 0.5}
TAKE = {"do": "take", "head": "mast"}
STOP = {"do": "stop", "head": "mast"}
SET = {"do": "preset_set", "head": "mast", "preset": "gate"}


class Mast:
    """A head that goes where it is told in no time. While `held` it answers nothing but a stop."""

    def __init__(self, folder: Path, clock: Any, name: str = "mast") -> None:
        self.name = name
        self.abilities: PtzAbilities | None = PtzAbilities(
            absolute=True,
            pan_deg=Range(low=-180, high=180),
            tilt_deg=Range(low=-90, high=90),
            pan_max_deg_s=90,
            tilt_max_deg_s=45,
        )
        self.calls: list[str] = []
        self.held = threading.Event()
        self.held.set()
        self.waits = threading.Event()
        self._clock = clock
        self._token = 0
        self._authority = LeaseArbiter(name, 30.0, self._next_token)
        self._presets = Presets(name, folder / name / "presets.json")
        self._pose = Pose(pan_deg=0, tilt_deg=0)
        self.moving = False

    def state(self) -> HeadState:
        now_ns = self._clock.boottime_ns()
        return HeadState(
            head=self.name,
            position=PtzPosition(pose=self._pose, error_deg=0.1, moving=self.moving, t_ns=now_ns),
            moving=self.moving,
            settled=not self.moving,
            preset=None,
            lease=self._authority.lease(now_ns),
            tour=None,
            error=None,
        )

    def take(
        self, asker: Requester, lease_s: float | None = None, *, token: int | None = None
    ) -> Lease:
        lease = self._authority.use(asker, token, self._clock.boottime_ns(), lease_s)
        self.waits.set()
        assert self.held.wait(WAIT_S)
        self.calls.append("take")
        return lease

    def wish(self, wish: Wish, asker: Requester, token: int | None) -> Lease:
        lease = self._authority.use(asker, token, self._clock.boottime_ns())
        self.waits.set()
        assert self.held.wait(WAIT_S)
        self.calls.append(type(wish).__name__)
        self.moving = True
        return lease

    def stop(self, asker: Requester) -> None:
        self.calls.append("stop")
        self.moving = False

    def check(self, asker: Requester, token: int | None) -> None:
        self._authority.check(asker, token, self._clock.boottime_ns())

    def release(self, asker: Requester, token: int) -> None:
        self.calls.append("release")
        self._authority.release(asker, token, self._clock.boottime_ns())

    def preset_set(self, name: str, asker: Requester, token: int | None) -> None:
        self._authority.use(asker, token, self._clock.boottime_ns())
        self.calls.append(f"preset_set {name}")
        self._presets.put(
            Preset(name=name, pose=self._pose, number=None, stored_time=EXPIRES, stored_by=asker.id)
        )

    def preset_delete(self, name: str) -> None:
        self.calls.append(f"preset_delete {name}")
        self._presets.delete(name)

    def presets(self) -> tuple[Preset, ...]:
        return self._presets.all()

    def switch(self, aux: Aux, on: bool, asker: Requester, token: int | None) -> None:
        self.calls.append(f"switch {aux} {on}")

    def _next_token(self) -> int:
        self._token += 1
        return self._token


def command(args: dict[str, Any], ident: str = "one", **changes: Any) -> bytes:
    """A command as an operator sends it."""
    fields = {"id": ident, "expires": EXPIRES, "by": "amina", "role": "operator", "args": args}
    return msgspec.json.encode(fields | changes)


class Rig:
    """A desk whose stages are turned by hand, or by threads of a test's own."""

    def __init__(
        self,
        folder: Path,
        clock: HeldClock,
        *others: CommandHandler,
        heads: tuple[str, ...] = ("mast",),
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.faults = FaultRegistry(clock.boottime_ns)
        self.masts = {name: Mast(folder, clock, name) for name in heads}
        self.mast = next(iter(self.masts.values()))
        ptz = PtzCommandHandler(
            {name: HeadAssembly(head=mast) for name, mast in self.masts.items()}, clock.boottime_ns
        )
        self.ledger = IdempotencyStore(folder / "commands.db", clock, self.faults)
        self.desk = CommandDispatcher([ptz, *others], self.ledger, clock)
        self.replies: list[Reply] = []
        self.changed = threading.Condition()
        self._never = threading.Event()

    def send(
        self,
        args: dict[str, Any],
        ident: str = "one",
        *,
        verb: str = "ptz",
        retained: bool = False,
        **changes: Any,
    ) -> None:
        """Hand a command in."""
        payload = command(args, ident, **changes)
        self.give(payload, verb=verb, retained=retained)

    def give(self, payload: bytes, *, verb: str = "ptz", retained: bool = False) -> None:
        """Hand in a command as it is."""
        self.desk.submit(
            IncomingCommand(
                verb=verb, payload=payload, via="test", answer=self._answer, retained=retained
            )
        )

    def ask(self, args: dict[str, Any], ident: str = "one", **changes: Any) -> Reply:
        """Hand a command in, have it done, and give the reply to it."""
        self.send(args, ident, **changes)
        before = len(self.replies)
        self.turn()
        (reply,) = self.replies[before:]
        return reply

    def turn(self) -> None:
        """One turn of the stage `commands`."""
        self.desk.run_once(self._never)

    def wait(self, found: Callable[[list[Reply]], bool]) -> list[Reply]:
        """All replies, once `found` says so of them."""
        with self.changed:
            assert self.changed.wait_for(lambda: found(self.replies), WAIT_S), self.replies
            return list(self.replies)

    def faults_now(self) -> list[str]:
        return [fault.code for fault in self.faults.active()]

    def _answer(self, reply: Reply) -> None:
        with self.changed:
            self.replies.append(reply)
            self.changed.notify_all()


def result(reply: Reply) -> dict[str, Any]:
    """What was done gave."""
    assert isinstance(reply, CommandDone), reply
    decoded: dict[str, Any] = msgspec.json.decode(reply.result)
    return decoded


def refused(reply: Reply) -> tuple[str, str]:
    """Kind and sentence."""
    assert isinstance(reply, CommandRefused), reply
    return reply.kind, reply.why


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(tmp_path: Path, clock: HeldClock) -> Iterator[MakeRig]:
    """Makes desks on the same folder, and lets go of it after the test."""
    made: list[Rig] = []

    def make(*verbs: CommandHandler, heads: tuple[str, ...] = ("mast",)) -> Rig:
        made.append(Rig(tmp_path / "state", clock, *verbs, heads=heads))
        return made[-1]

    (tmp_path / "state").mkdir()
    yield make
    for rig in made:
        rig.ledger.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()
