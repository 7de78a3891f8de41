"""A dispatcher with heads that note their requests and can be held."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.authority.control_authority import ControlAuthority
from agent.base.model import CommandDone, CommandRefused, IncomingCommand, Reply
from agent.commands.command import CommandHandler
from agent.commands.dispatcher import CommandDispatcher
from agent.commands.idempotency_store import IdempotencyStore
from agent.commands.requester import Requester
from agent.commands.signed_command import CommandAuthenticator
from agent.config.control import ControlConfig
from agent.config.heads import HeadConfig
from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection
from agent.ptz.head import PtzHead
from agent.ptz.head_stage import HeadStage
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.ptz.requests import Lease, MoveRequest
from simulation.ptz.fake import FakeHead, Options
from tests.conftest import ManualClock

EXPIRES = "2026-11-25T00:01:00Z"
TIMEOUT_S = 60.0
MAX_TASKS_OF_A_TURN = 10

MOVE_ARGS = {"do": "move", "head": "mast", "pan": 0.5}
TAKE_ARGS = {"do": "acquire", "head": "mast"}
STOP_ARGS = {"do": "stop", "head": "mast"}
PRESET_SET_ARGS = {"do": "set_preset", "head": "mast", "preset": "gate"}


class ObservedHead(PtzHead):
    """A head with simulated mechanics that notes each request. While `gate` is clear it executes none but a stop."""

    def __init__(self, folder: Path, clock: ManualClock, faults: FaultRegistry, name: str) -> None:
        super().__init__(
            HeadConfig(name=name, driver="fake", lease_s=30),
            HeadConnection(
                name, lambda: FakeHead(name, Options(lag_s=0), clock.boottime_ns), faults
            ),
            folder / name,
            clock,
        )
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_waiting = threading.Event()
        self._manual_clock = clock
        self._stage = HeadStage(self, clock, faults)
        self.turn()

    def turn(self) -> None:
        """One turn of the stage, which does not wait."""
        stopping = threading.Event()
        stopping.set()
        self._stage.run_once(stopping)

    def come_to_rest(self) -> None:
        """End the motion without a request for it."""
        super().stop()
        self._manual_clock.advance_s(1)
        self.turn()

    def acquire(
        self, requester: Requester, lease_s: float | None = None, *, token: int | None = None
    ) -> Lease:
        self._wait_for_gate()
        lease = super().acquire(requester, lease_s, token=token)
        self.calls.append("take")
        return lease

    def move(
        self,
        request: MoveRequest,
        requester: Requester,
        token: int | None = None,
        *,
        expected_request_count: int | None = None,
    ) -> Lease:
        self.check_authorized(requester, token)
        self._wait_for_gate()
        self.turn()
        lease = super().move(
            request, requester, token, expected_request_count=expected_request_count
        )
        self.calls.append(type(request).__name__)
        return lease

    def stop(self) -> None:
        super().stop()
        self.calls.append("stop")

    def set_preset(self, name: str, requester: Requester, token: int | None = None) -> None:
        self.turn()
        super().set_preset(name, requester, token)
        self.calls.append(f"set_preset {name}")

    def _wait_for_gate(self) -> None:
        self.is_waiting.set()
        assert self.gate.wait(TIMEOUT_S)


def encode_command(args: dict[str, Any], command_id: str = "one", **changes: Any) -> bytes:
    """A command as an operator sends it."""
    fields = {"id": command_id, "expires": EXPIRES, "by": "amina", "role": "operator", "args": args}
    return msgspec.json.encode(fields | changes)


class CommandRig:
    """A dispatcher whose stages are turned by a test, or by threads of a test's own."""

    def __init__(
        self,
        folder: Path,
        clock: ManualClock,
        *other_handlers: CommandHandler,
        heads: tuple[str, ...] = ("mast",),
        authority: ControlAuthority | None = None,
        control: ControlConfig = ControlConfig(),  # noqa: B008 - frozen
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.faults = FaultRegistry(clock.boottime_ns)
        self.heads = {name: ObservedHead(folder, clock, self.faults, name) for name in heads}
        self.head = next(iter(self.heads.values()))
        ptz = PtzCommandHandler(
            {name: HeadAssembly(head=head, camera="north") for name, head in self.heads.items()},
            clock.boottime_ns,
        )
        handlers = [ptz, *other_handlers]
        authenticator = None
        if authority is not None:
            authenticator = CommandAuthenticator(authority, control, "pole-17", handlers, clock)
        self.idempotency_store = IdempotencyStore(folder / "commands.db", clock, self.faults)
        self.dispatcher = CommandDispatcher(handlers, self.idempotency_store, clock, authenticator)
        self.replies: list[Reply] = []
        self.changed = threading.Condition()
        self._never_set = threading.Event()

    def send(
        self,
        args: dict[str, Any],
        command_id: str = "one",
        *,
        verb: str = "ptz",
        retained: bool = False,
        has_waited: bool = False,
        **changes: Any,
    ) -> None:
        """Hand a command in."""
        payload = encode_command(args, command_id, **changes)
        self.submit(payload, verb=verb, retained=retained, has_waited=has_waited)

    def submit(
        self,
        payload: bytes,
        *,
        verb: str = "ptz",
        retained: bool = False,
        has_waited: bool = False,
        session: int | None = None,
    ) -> None:
        """Hand in a command as it is."""
        self.dispatcher.submit(
            IncomingCommand(
                verb=verb,
                payload=payload,
                via="test",
                send_reply=self._on_reply,
                retained=retained,
                has_waited=has_waited,
                session=session,
            )
        )

    def run_command(self, args: dict[str, Any], command_id: str = "one", **changes: Any) -> Reply:
        """Hand a command in, have it done, and give the reply to it."""
        self.send(args, command_id, **changes)
        reply_count = len(self.replies)
        self.run_once()
        (reply,) = self.replies[reply_count:]
        return reply

    def run_once(self) -> None:
        """One turn of the stage `commands`."""
        self.dispatcher.run_once(self._never_set)

    def run_all(self) -> None:
        """Run each task that is due, and those that follow from it; wait for none."""
        stopping = threading.Event()
        stopping.set()
        for _ in range(MAX_TASKS_OF_A_TURN):
            self.dispatcher.run_once(stopping)

    def wait_for_replies(self, is_complete: Callable[[list[Reply]], bool]) -> list[Reply]:
        """All replies, once `found` is true for them."""
        with self.changed:
            assert self.changed.wait_for(lambda: is_complete(self.replies), TIMEOUT_S), self.replies
            return list(self.replies)

    def active_faults(self) -> list[str]:
        return [fault.code for fault in self.faults.active()]

    def _on_reply(self, reply: Reply) -> None:
        with self.changed:
            self.replies.append(reply)
            self.changed.notify_all()


def decode_result(reply: Reply) -> dict[str, Any]:
    """Return the result of a command that was done."""
    assert isinstance(reply, CommandDone), reply
    decoded: dict[str, Any] = msgspec.json.decode(reply.result)
    return decoded


def rejection_of(reply: Reply) -> tuple[str, str]:
    """Kind and sentence."""
    assert isinstance(reply, CommandRefused), reply
    return reply.code, reply.message


MakeRig = Callable[..., CommandRig]


@pytest.fixture
def make_rig(tmp_path: Path, clock: ManualClock) -> Iterator[MakeRig]:
    """Return a factory of rigs on the same folder, which are closed after the test."""
    rigs: list[CommandRig] = []

    def make(*handlers: CommandHandler, **options: Any) -> CommandRig:
        rigs.append(CommandRig(tmp_path / "state", clock, *handlers, **options))
        return rigs[-1]

    (tmp_path / "state").mkdir()
    yield make
    for rig in rigs:
        rig.idempotency_store.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> CommandRig:
    return make_rig()
