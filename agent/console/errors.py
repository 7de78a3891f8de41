"""The error that ends a console command."""


class ConsoleError(Exception):
    """A command cannot be carried out here and now: one line for the technician."""
