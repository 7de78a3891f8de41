"""The error that ends a console command."""

from agent.base.message import Text


class ConsoleError(Exception):
    """A command cannot be carried out: one line for the technician, in English as `str()`."""

    def __init__(self, message: Text) -> None:
        super().__init__(message)
