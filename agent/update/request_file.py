"""Update requests of the console and the agent to root, as two small files.

    /run/vigie-update/request.json    one request; every writer of the folder may make one
    /run/vigie-update/status.json     progress and outcome, written by root

The folder belongs to root, its group may write, and it is sticky: a user can remove only own files. So root needs
no write access to a folder of the agent's user.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message, TextData, message_of
from agent.base.state_file import StateFile
from agent.commands.command import RequesterId
from agent.update import versions

REQUEST_DIR = Path("/run/vigie-update")
REQUEST_FILE = "request.json"
STATUS_FILE = "status.json"
MAX_REQUEST_BYTES = 8192
_MAX_PATH_LENGTH = 1024

UpdateAction: TypeAlias = Literal[
    "status", "install", "rollback", "mark_good", "check", "install_release"
]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$(?!\n)")]
ReleaseVersion = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9][0-9A-Za-z.+-]{0,63}$(?!\n)",
        extra={"allowed": "a version such as 1.2.3 or 1.2.3-rc.1, at most 64 characters"},
    ),
]


class UpdateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request. `bundle_path` is a file on a USB stick or an upload, of `install` alone;
    `version` names a release of the signed feed, of `install_release` alone. No field disables a check, and none is a URL.
    """

    v: Literal[1] = 1
    id: RequestId
    action: UpdateAction
    requester: RequesterId
    bundle_path: Annotated[str, msgspec.Meta(max_length=_MAX_PATH_LENGTH)] | None = None
    version: ReleaseVersion | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly the actions with an object have it."""
        for field, value, action in (
            ("bundle_path", self.bundle_path, "install"),
            ("version", self.version, "install_release"),
        ):
            if (value is not None) != (self.action == action):
                raise ValueError(
                    f"{self.action}: {field} is required for {action}, and allowed for nothing else"
                )
        if self.version is not None:
            versions.version_key(self.version)


class UpdateRequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Progress and outcome of the request `id`: `step` while it runs, `lines` once it has ended.

    Both are messages, so that the console can translate them.
    """

    id: str
    action: UpdateAction
    requester: str
    state: Literal["running", "done", "failed"]
    step: TextData = ""
    lines: tuple[TextData, ...] = ()


_REQUEST_DECODER = JsonDecoder(UpdateRequest)


def request_dir(root: Path) -> Path:
    """Return the folder of requests of the system whose files begin at `root`."""
    return root / REQUEST_DIR.relative_to("/")


def decode_request(data: bytes) -> UpdateRequest:
    """Decode a request. Raises: UserError if it is malformed."""
    if len(data) > MAX_REQUEST_BYTES:
        raise UserError(
            Message(
                "{label}: {count} bytes or more; allowed: {max_bytes}",
                label="request",
                count=len(data),
                max_bytes=MAX_REQUEST_BYTES,
            )
        )
    try:
        return _REQUEST_DECODER.decode(data)
    except MalformedJson as error:
        raise UserError(
            Message("{label}: {problem}", label="request", problem=message_of(error))
        ) from error


def submit_request(
    folder: Path,
    action: UpdateAction,
    requester: str,
    bundle_path: str | None = None,
    version: str | None = None,
) -> str:
    """Submit a request, and return its id.

    Raises: FileExistsError if another one is pending, UserError if it is not valid, OSError.
    """
    request = UpdateRequest(
        id=secrets.token_hex(8),
        action=action,
        requester=requester,
        bundle_path=bundle_path,
        version=version,
    )
    try:
        data = msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise UserError(
            Message("{label}: allowed: a path in UTF-8", label=f"{bundle_path!r}")
        ) from error
    decode_request(data)
    temp_path = folder / f".{request.id}"
    fd = os.open(temp_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        # A link, unlike a rename, does not replace another requester's file.
        os.link(temp_path, folder / REQUEST_FILE)
    finally:
        temp_path.unlink(missing_ok=True)
    return request.id


def take_request(folder: Path, allowed_uids: Collection[int]) -> UpdateRequest:
    """Take the pending request, and remove its file in any case. Only `allowed_uids` may own it.

    Raises: FileNotFoundError if there is none, UserError if it is not valid, OSError.
    """
    path = folder / REQUEST_FILE
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        _remove(path)
        raise UserError(
            Message("{label}: {problem}", label="request", problem=error.strerror or str(error))
        ) from error
    try:
        _remove(path)
        file_stat = os.fstat(fd)
        if not stat.S_ISREG(file_stat.st_mode):
            raise UserError(Message("{label}: not a regular file", label="request"))
        if file_stat.st_uid not in allowed_uids:
            raise UserError(
                Message(
                    "{label}: owned by user {user}, which is not allowed",
                    label="request",
                    user=file_stat.st_uid,
                )
            )
        return decode_request(os.read(fd, MAX_REQUEST_BYTES + 1))
    finally:
        os.close(fd)


def waiting_request(folder: Path) -> UpdateRequest | None:
    """Return the request that root has not taken yet, or None if there is none, or one that root will not execute."""
    try:
        return decode_request(read_regular_file(folder / REQUEST_FILE, MAX_REQUEST_BYTES))
    except (OSError, UserError):
        return None


def withdraw_request(folder: Path, request_id: str) -> bool:
    """Withdraw a request; return False if root has taken it already. Raises: OSError."""
    path = folder / REQUEST_FILE
    try:
        if decode_request(read_regular_file(path, MAX_REQUEST_BYTES)).id != request_id:
            return False
        path.unlink()
    except (FileNotFoundError, UserError):
        return False
    return True


def status_file(folder: Path) -> StateFile[UpdateRequestStatus]:
    """Return the file of the request that root has taken last; every user of the box may read it."""
    return StateFile(folder / STATUS_FILE, UpdateRequestStatus, shared=True)


def _remove(path: Path) -> None:
    """Remove the file: one that stays would start the unit again and again."""
    try:
        path.unlink()
    except IsADirectoryError:
        with contextlib.suppress(OSError):
            path.rename(path.with_name(f".wrong-{secrets.token_hex(4)}"))
