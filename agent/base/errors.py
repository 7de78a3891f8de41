"""Errors in the user's input."""


class UserError(Exception):
    """A wrong file, key, value or address from the user.

    `str(error)` is one line that names the thing, the value and what is allowed. The command line
    prints it without a traceback and exits with code 2. An error that a technician may read at the console or the
    page at the pole is raised with a message (agent/base/message.py), which `message_of` returns.
    """
