"""The conversation with a VISCA camera about its commands, as a table. Pure.

A camera takes a command with an ACK that names one of its two sockets, and says in that socket when
it is done. Commands are acknowledged in the order in which they were sent, and completed in any. So
whatever arrives is of the oldest command that waits for its ACK, or of the oldest in its socket. A
command that is sent while both sockets are taken is refused: `full`.
"""

from typing import Literal, TypeAlias, cast

from drivers.visca_codec import Ack, Completed, Failed, Problem

State = Literal["sent", "executing", "done", "full", "refused", "cancelled"]
"""How a command stands.

sent       on its way, and not acknowledged yet
executing  acknowledged, in a socket
done       completed; or there was nothing to break off
full       refused because both sockets were taken: send it again when one is free
refused    the camera does not know it, or cannot do it now
cancelled  broken off, by itself or by `cancel`
"""
Event: TypeAlias = Literal["ack", "completed"] | Problem

TABLE: dict[tuple[State, Event], State] = {
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
CANCEL_TABLE: dict[tuple[State, Event], State] = {
    ("sent", "cancelled"): "done",
    ("sent", "no socket"): "done",  # it was completed in the meantime
    ("sent", "length"): "refused",
    ("sent", "syntax"): "refused",
}
"""`cancel` itself is no command: it gets no ACK and takes no socket."""

MOST_KEPT = 16
"""So many commands wait, and so many in each socket; beyond them the oldest are forgotten."""


class Command:
    """One packet that was sent, and how it stands. `problem` is why it was refused. A `cancel` names
    the socket that it is for.
    """

    def __init__(self, frame: bytes, *, cancels: int | None = None) -> None:
        self.frame = frame
        self.cancels = cancels
        self.state: State = "sent"
        self.problem: Problem | None = None

    def on(self, event: Event) -> None:
        """Go on by the table. An event that is not in it changes nothing."""
        table = TABLE if self.cancels is None else CANCEL_TABLE
        self.state = table.get((self.state, event), self.state)
        if self.state == "refused" and event not in {"ack", "completed"}:
            self.problem = cast("Problem", event)


class Sockets:
    """The commands of one camera that are not done. Not thread-safe."""

    def __init__(self) -> None:
        self._waiting: list[Command] = []
        self._sockets: dict[int, list[Command]] = {}
        self.strays = 0
        """Replies that belonged to nothing that was sent: late ones, or noise."""

    @property
    def executing(self) -> tuple[int, ...]:
        """The sockets that are taken."""
        return tuple(socket for socket, commands in self._sockets.items() if commands)

    @property
    def waiting(self) -> bool:
        """Whether a command waits for its ACK."""
        return bool(self._waiting)

    def sent(self, command: Command) -> None:
        """A command has gone out."""
        self._waiting.append(command)
        del self._waiting[:-MOST_KEPT]

    def forget(self, command: Command) -> None:
        """Nobody waits for this command any more."""
        for commands in (self._waiting, *self._sockets.values()):
            if command in commands:
                commands.remove(command)

    def clear(self) -> None:
        """The camera has forgotten all commands."""
        self._waiting.clear()
        self._sockets.clear()

    def heard(self, reply: Ack | Completed | Failed) -> None:
        """A reply goes to the command that it is for."""
        event: Event
        if isinstance(reply, Failed):
            event = reply.problem
        else:
            event = "ack" if isinstance(reply, Ack) else "completed"
        for_whom = self._meant(event, reply.socket)
        self.strays += not for_whom
        for command in for_whom:
            self.forget(command)
            command.on(event)
            if command.state == "executing":
                socket = self._sockets.setdefault(reply.socket, [])
                socket.append(command)
                del socket[:-MOST_KEPT]

    def _meant(self, event: Event, socket: int) -> list[Command]:
        """The oldest command that the event can be for; with a cancel, what it broke off too."""
        within = self._sockets.get(socket, [])[:1]
        commands = [command for command in self._waiting if command.cancels is None][:1]
        cancels = [command for command in self._waiting if command.cancels == socket][:1]
        match event:
            case "ack" | "full":
                return commands
            case "completed":
                # In socket 0 the interface reports of itself.
                return within or (commands if socket else [])
            case "cancelled":
                return within + cancels
            case "no socket":
                return cancels
            case "not executable":
                return commands or within
            case _:
                return self._waiting[:1]
