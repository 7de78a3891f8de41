"""The error that ends a console command."""

from collections.abc import Sequence

from agent.base.message import Text


class ConsoleError(Exception):
    """A command cannot be carried out: one line for the technician, in English as `str()`.

    `usage` are the forms of the command, for lines of their own.
    """

    def __init__(self, message: Text, usage: Sequence[Text] = ()) -> None:
        super().__init__(message)
        self.usage = tuple(usage)
