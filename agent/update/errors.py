"""Base class of the errors of an update."""


class UpdateError(Exception):
    """An update step was not done; the message is one line."""
