"""The errors that end a console command."""

from collections.abc import Sequence

from agent.base.message import Text
from agent.faults.registry import FaultCode


class ConsoleError(Exception):
    """A command cannot be carried out: one line for the technician, in English as `str()`.

    `usage` are the forms of the command, for lines of their own. `code` is the fault that explains it,
    None if nothing is broken.
    """

    def __init__(
        self, message: Text, usage: Sequence[Text] = (), code: FaultCode | None = None
    ) -> None:
        super().__init__(message)
        self.usage = tuple(usage)
        self.code = code


class AgentDown(ConsoleError):
    """A command needs the running agent."""
