"""The operator of the video demo: asks for one picture, signed, and a forger for another."""

import random

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.json_decode import decode_json
from agent.base.model import CommandDone, CommandRefused, Reply
from agent.capture.snapshot_command import COMMAND, SnapshotResult
from agent.config.configuration import Config
from agent.runtime.stage import StageThread
from centre.demo.demo import CONNECT_TIMEOUT_S
from centre.demo.demo_authority import DemoAuthority
from centre.demo.demo_operator import DemoOperator
from centre.demo.ptz_script import AMINA

_STOP_TIMEOUT_S = 10.0


class SignedRequest:
    """Sends one signed command for a picture, and one without a signature, as an attacker at the broker could."""

    def __init__(self, config: Config, camera: str, authority: DemoAuthority, clock: Clock) -> None:
        self._url = config.broker.url
        self._camera = camera
        self._replies: dict[str, Reply] = {}
        self._signed_id: str | None = None
        self._unsigned_id: str | None = None
        rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._operator = DemoOperator(
            config.broker, config.box.id, authority, self._on_reply, clock, rng
        )
        self._thread = StageThread(self._operator, clock.boottime_ns, rng, vital=False)

    def start(self) -> None:
        """Connect. Raises: UserError if the broker does not answer."""
        self._thread.start()
        if not self._operator.online.wait(CONNECT_TIMEOUT_S):
            raise UserError(f"demo: the broker at {self._url} does not answer")

    def send(self) -> None:
        """Send both commands, once."""
        if self._signed_id is None:
            args = {"camera": self._camera}
            self._signed_id = self._operator.send_command(AMINA, COMMAND.verb, args)
            self._unsigned_id = self._operator.send_unsigned(AMINA, COMMAND.verb, args)

    def result(self, *, has_event: bool) -> str:
        """Return the outcome of both, for the summary; `has_event` is whether the centre has received an event."""
        if self._signed_id is None:
            return (
                f"none: {'the first event came at the end' if has_event else 'there was no event'}"
            )
        signed = self._replies.get(self._signed_id)
        unsigned = self._replies.get(self._unsigned_id or "")
        return f"a picture, signed by {AMINA.title}: {_outcome(signed)}; unsigned: {_outcome(unsigned)}"

    def close(self) -> None:
        """Disconnect."""
        self._thread.stop()
        self._thread.join(_STOP_TIMEOUT_S)

    def _on_reply(self, reply: Reply) -> None:
        if isinstance(reply, CommandDone | CommandRefused) and reply.command is not None:
            self._replies[reply.command] = reply


def _outcome(reply: Reply | None) -> str:
    match reply:
        case CommandDone():
            size_bytes = decode_json(reply.result, SnapshotResult).size_bytes
            return f"done, {size_bytes / 1000:.0f} kB"
        case CommandRefused():
            return f"refused ({reply.code})"
    return "no reply"
