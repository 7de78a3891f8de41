"""Authorities that a box trusts in a TLS connection: those of a file in PEM, or the system's."""

import ssl
from pathlib import Path

from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.message import Message, Text


def read_authorities(path: str | Path | None, label: Text) -> str | None:
    """Return the text of a file, or None for the system's authorities. Raises: UserError, which begins with `label`."""
    if path is None:
        return None
    try:
        return read_regular_file(Path(path), MAX_PEM_BYTES).decode("ascii", "ignore")
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=label, problem=error.strerror or str(error))
        ) from error


def trust_authorities(pem: str | None, label: Text) -> ssl.SSLContext:
    """Return the TLS context of a client that trusts these authorities. Raises: UserError, which begins with `label`."""
    try:
        # Of an empty text the library would take the system's.
        return ssl.create_default_context(cadata=pem if pem is None else pem or "\n")
    except (ssl.SSLError, ValueError) as error:
        raise UserError(
            Message("{label}: holds no certificate in PEM form", label=label)
        ) from error
