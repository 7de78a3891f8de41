"""Errors that a person caused and can mend."""


class UserError(Exception):
    """What a user gave is wrong: a file, a key, a value, an address.

    `str(error)` is one line that names the thing, the value and what is allowed. The command line
    prints it without a traceback and exits with code 2.
    """
