"""What the console asks of root, and what it is told: two small files in a folder of their own.

    /run/vigie-update/asked    one request, of fixed words; who may write into the folder may make one
    /run/vigie-update/told     how far it is, and how it ended

The folder is root's, its group may write, and nobody but root may remove what is not his own. So root needs
no right to write into a folder of the agent's user.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.config.names import TECHNICIAN_NAME
from agent.update.request import Do, UpdateProgress

FOLDER = Path("/run/vigie-update")
ASKED = "asked"
TOLD = "told"
MOST_BYTES = 8192
_LONGEST_PATH = 1024

Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$(?!\n)")]
By = Annotated[str, msgspec.Meta(pattern=rf"^(?:{TECHNICIAN_NAME.pattern})$(?!\n)")]


class UpdateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request. `bundle` is a file on a stick, and belongs to `install` alone. No word of it takes a
    check away.
    """

    v: Literal[1] = 1
    id: Id
    do: Do
    by: By
    bundle: Annotated[str, msgspec.Meta(max_length=_LONGEST_PATH)] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a path is missing, or too many."""
        if (self.bundle is not None) != (self.do == "install"):
            raise ValueError(f"{self.do}: a bundle belongs to install, and to nothing else")


_ASKED = msgspec.json.Decoder(UpdateRequest)
_TOLD = msgspec.json.Decoder(UpdateProgress)


def decode(data: bytes) -> UpdateRequest:
    """A request. Raises BadInput where it is none."""
    if len(data) > MOST_BYTES:
        raise UserError(f"request: {len(data)} bytes or more; allowed: {MOST_BYTES}")
    try:
        return _ASKED.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"request: {error}") from error


def submit_request(folder: Path, do: Do, by: str, bundle: str | None = None) -> str:
    """Make a request; its id. Raises FileExistsError where another one waits, BadInput where it cannot
    be one, and OSError.
    """
    made = UpdateRequest(id=secrets.token_hex(8), do=do, by=by, bundle=bundle)
    try:
        data = msgspec.json.encode(made)
    except UnicodeEncodeError as error:
        raise UserError(f"{bundle!r}: allowed: a name in UTF-8") from error
    decode(data)
    aside = folder / f".{made.id}"
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # A link, unlike a rename, does not take the place of another's request.
        os.link(aside, folder / ASKED)
    finally:
        aside.unlink(missing_ok=True)
    return made.id


def take(folder: Path, owners: Collection[int]) -> UpdateRequest:
    """The request, which is gone afterwards whatever it is. `owners` are the users who may have made it.
    Raises FileNotFoundError where there is none, BadInput where it is none, and OSError.
    """
    path = folder / ASKED
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        _remove(path)
        raise UserError(f"request: {error.strerror}") from error
    try:
        _remove(path)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UserError("request: no regular file")
        if found.st_uid not in owners:
            raise UserError(f"request: made by user {found.st_uid}, who may not ask")
        return decode(os.read(handle, MOST_BYTES + 1))
    finally:
        os.close(handle)


def withdraw(folder: Path, order: str) -> bool:
    """Take one's own request back. False where root has taken it already. Raises OSError."""
    path = folder / ASKED
    try:
        if decode(path.read_bytes()).id != order:
            return False
        path.unlink()
    except (FileNotFoundError, UserError):
        return False
    return True


def write_status(folder: Path, told: UpdateProgress) -> None:
    """Replace what is told. Raises OSError."""
    atomic_file.replace_atomically(folder / TOLD, msgspec.json.encode(told) + b"\n", 0o644)


def read_status(folder: Path) -> UpdateProgress | None:
    """What is told; None where there is nothing that can be read."""
    try:
        with (folder / TOLD).open("rb") as file:
            return _TOLD.decode(file.read(65_536))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _remove(path: Path) -> None:
    """What stays there would be asked again and again."""
    try:
        path.unlink()
    except IsADirectoryError:
        with contextlib.suppress(OSError):
            path.rename(path.with_name(f".wrong-{secrets.token_hex(4)}"))
