"""The tasks of the children that make and upload a clip, and their messages to the agent. Pure.

A clip has two children, one after the other: one makes its file and has no network, one sends it and reads no other file.
A child waits after each message for a `Continue`, which the agent delays for as long as the link's budget says.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.clips.upload_target import MAX_PARTS, UploadTarget
from drivers.child.messages import MAX_MESSAGE_CHARS

MAX_LEFT_OUT = 20

ClipForm = Literal["thumbs", "light", "original", "export"]
"""Forms of a clip, the smallest first.

thumbs    one JPEG with up to twelve pictures of the span
light     encoded again: at most 640 pixels wide, five pictures a second, H.264
original  as recorded; masks are painted if the camera's stream arrives without them
export    the signed export of `vigie footage export`, as a ZIP
"""
UploadForm = ClipForm | Literal["bundle"]
"""Forms of an uploaded file. A support bundle is made before it is queued."""

Reason = Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARS)]


def making_folder(file: Path) -> Path:
    """Return the folder in which a clip's file is made."""
    return file.with_name(file.name + ".making")


def made_path(folder: Path) -> Path:
    """Return the path of the complete file in that folder."""
    return folder / "made"


class MadeFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a clip. `begin` and `end` are what it covers; `times` are those of the thumbnails.

    `left_out` are segments of the span that are not in it, with the reason.
    """

    sha256: str
    size_bytes: int
    media_type: str
    begin: str
    end: str
    times: tuple[str, ...] = ()
    left_out: Annotated[dict[str, str], msgspec.Meta(max_length=MAX_LEFT_OUT)] = {}


class UploadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an upload is, as far as a restart may rely on it.

    `etags` are those of the parts that S3 has; `is_completing`: it was asked to put them together.
    `location` is the upload that a tus server has created.
    """

    etags: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_PARTS)] = ()
    is_completing: bool = False
    location: str | None = None

    def __repr__(self) -> str:
        return f"UploadProgress({len(self.etags)} parts)"


class MakeTask(msgspec.Struct, frozen=True, kw_only=True, tag="make"):
    """The file of one clip. Times are RFC 3339. `by` is the requester in receipts, `viewer` the name that an owner may
    have listed.

    It is made in `folder`. `public_key` is the box's: receipts of another are left out. `max_file_bytes` bounds it and, of an export, what is next to it meanwhile.
    """

    state_dir: str
    box: str
    public_key: bytes
    camera: str
    begin: str
    end: str
    form: ClipForm
    by: str
    viewer: str
    purpose: str
    folder: str
    max_file_bytes: int


class UploadTask(msgspec.Struct, frozen=True, kw_only=True, tag="upload"):
    """The upload of a file that is made. `chunk_bytes` are sent at once."""

    file: str
    made: MadeFile
    target: UploadTarget
    ca: str | None
    chunk_bytes: int
    progress: UploadProgress


ClipTask: TypeAlias = MakeTask | UploadTask


class Making(msgspec.Struct, frozen=True, kw_only=True, tag="making"):
    """The file is being made; `ratio` is 0..1."""

    ratio: float


class Made(msgspec.Struct, frozen=True, kw_only=True, tag="made"):
    """The file is complete and durable. The child ends."""

    file: MadeFile


class Sending(msgspec.Struct, frozen=True, kw_only=True, tag="sending"):
    """The next `size_bytes` are to be sent; `sent_bytes` of the file were before."""

    size_bytes: int
    sent_bytes: int


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag="sent"):
    """A step of the upload is done that a restart need not repeat."""

    progress: UploadProgress


class Uploaded(msgspec.Struct, frozen=True, kw_only=True, tag="uploaded"):
    """The upload is complete. The child ends."""


class Retry(msgspec.Struct, frozen=True, kw_only=True, tag="retry"):
    """The link failed or the server is busy; another try may help, after `after_s` if it says so. The child
    ends.
    """

    reason: Reason
    after_s: float | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected"):
    """There is no such clip, or the server refuses it. The child ends."""

    reason: Reason
    code: Literal["unknown", "unsupported", "forbidden", "failed"] = "failed"


ClipMessage: TypeAlias = Making | Made | Sending | Sent | Uploaded | Retry | Rejected
