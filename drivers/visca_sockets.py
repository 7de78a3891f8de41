"""The states of commands to a VISCA camera, as a table. Pure.

A camera accepts a command with an ACK that names one of its two sockets, and reports its completion
in that socket. Commands are acknowledged in the order in which they were sent, and completed in any.
So a reply is for the oldest command that waits for its ACK, or for the oldest in its socket. A
command that is sent while both sockets are busy is refused: `full`.
"""

from typing import Literal, TypeAlias, cast

from drivers.visca_codec import CommandAck, CommandCompleted, ViscaError, ViscaProblem

CommandState = Literal["sent", "executing", "done", "full", "refused", "cancelled"]
"""The state of a command.

sent       on its way, and not acknowledged yet
executing  acknowledged, in a socket
done       completed; or there was nothing to cancel
full       refused because both sockets were busy: send it again when one is free
refused    the camera does not know it, or cannot execute it now
cancelled  by the camera itself or by `cancel`
"""
CommandEvent: TypeAlias = Literal["ack", "completed"] | ViscaProblem

COMMAND_TRANSITIONS: dict[tuple[CommandState, CommandEvent], CommandState] = {
    ("sent", "ack"): "executing",
    ("sent", "completed"): "done",  # a camera that completes without an ACK
    ("sent", "length"): "refused",
    ("sent", "syntax"): "refused",
    ("sent", "full"): "full",
    ("sent", "not executable"): "refused",
    ("executing", "completed"): "done",
    ("executing", "cancelled"): "cancelled",
    ("executing", "not executable"): "refused",
}
CANCEL_TRANSITIONS: dict[tuple[CommandState, CommandEvent], CommandState] = {
    ("sent", "cancelled"): "done",
    ("sent", "no socket"): "done",  # it was completed in the meantime
    ("sent", "length"): "refused",
    ("sent", "syntax"): "refused",
}
"""`cancel` itself is no command: it gets no ACK and takes no socket."""

MAX_TRACKED_COMMANDS = 16
"""Commands that are tracked before their ACK, and in each socket; beyond them the oldest are dropped."""


class SentCommand:
    """One packet that was sent, and its state. `problem` is the reason of a refusal.

    `cancelled_socket` is set for a `cancel`.
    """

    def __init__(self, frame: bytes, *, cancelled_socket: int | None = None) -> None:
        self.frame = frame
        self.cancelled_socket = cancelled_socket
        self.state: CommandState = "sent"
        self.problem: ViscaProblem | None = None

    def apply(self, event: CommandEvent) -> None:
        """Change the state by the table. An event that is not in it changes nothing."""
        transitions = COMMAND_TRANSITIONS if self.cancelled_socket is None else CANCEL_TRANSITIONS
        self.state = transitions.get((self.state, event), self.state)
        if self.state == "refused" and event not in {"ack", "completed"}:
            self.problem = cast("ViscaProblem", event)


class CommandTracker:
    """The commands of one camera that are not done. Not thread-safe."""

    def __init__(self) -> None:
        self._unacknowledged: list[SentCommand] = []
        self._executing: dict[int, list[SentCommand]] = {}
        self.unmatched_replies = 0
        """Replies that belonged to nothing that was sent: late ones, or noise."""

    @property
    def busy_sockets(self) -> tuple[int, ...]:
        """The busy sockets."""
        return tuple(socket for socket, commands in self._executing.items() if commands)

    @property
    def has_unacknowledged(self) -> bool:
        """True if a command waits for its ACK."""
        return bool(self._unacknowledged)

    def on_sent(self, command: SentCommand) -> None:
        """Note a command that was sent."""
        self._unacknowledged.append(command)
        del self._unacknowledged[:-MAX_TRACKED_COMMANDS]

    def forget(self, command: SentCommand) -> None:
        """Stop tracking a command."""
        for commands in (self._unacknowledged, *self._executing.values()):
            if command in commands:
                commands.remove(command)

    def clear(self) -> None:
        """Stop tracking all commands, because the camera was cleared."""
        self._unacknowledged.clear()
        self._executing.clear()

    def on_reply(self, reply: CommandAck | CommandCompleted | ViscaError) -> None:
        """Apply a reply to the command that it is for."""
        event: CommandEvent
        if isinstance(reply, ViscaError):
            event = reply.problem
        else:
            event = "ack" if isinstance(reply, CommandAck) else "completed"
        targets = self._commands_for(event, reply.socket)
        self.unmatched_replies += not targets
        for command in targets:
            self.forget(command)
            command.apply(event)
            if command.state == "executing":
                socket = self._executing.setdefault(reply.socket, [])
                socket.append(command)
                del socket[:-MAX_TRACKED_COMMANDS]

    def _commands_for(self, event: CommandEvent, socket: int) -> list[SentCommand]:
        """Return the oldest command that the event can be for, and a cancelled one with its cancel."""
        in_socket = self._executing.get(socket, [])[:1]
        commands = [
            command for command in self._unacknowledged if command.cancelled_socket is None
        ][:1]
        cancel_commands = [
            command for command in self._unacknowledged if command.cancelled_socket == socket
        ][:1]
        match event:
            case "ack" | "full":
                return commands
            case "completed":
                # In socket 0 the interface reports its own commands.
                return in_socket or (commands if socket else [])
            case "cancelled":
                return in_socket + cancel_commands
            case "no socket":
                return cancel_commands
            case "not executable":
                return commands or in_socket
            case _:
                return self._unacknowledged[:1]
