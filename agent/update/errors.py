"""Errors of an update."""


class UpdateError(Exception):
    """An update step was not done; the message is one line."""


class DownloadRejected(UpdateError):
    """The file is not available, is another one, or comes without HTTP; a retry does not help."""
