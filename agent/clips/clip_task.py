"""The task of a child that makes and uploads one clip, and its messages to the agent. Pure.

The child writes a message on a line and waits for an empty line before it continues; the agent delays that
line for as long as the link's budget says. The end of its standard input ends the child.
"""

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from agent.clips.upload_target import UploadTarget

ClipForm = Literal["thumbs", "light", "original", "export"]
"""Forms of a clip, the smallest first.

thumbs    one JPEG with up to twelve pictures of the span
light     encoded again: at most 640 pixels wide, five pictures a second, H.264
original  as recorded; masks are painted if the camera's stream arrives without them
export    the signed export of `vigie footage export`, as a ZIP
"""
UploadForm = ClipForm | Literal["bundle"]
"""Forms of an uploaded file. A support bundle is made before it is queued."""


def making_folder(file: Path) -> Path:
    """Return the folder in which a clip's file is made."""
    return file.with_name(file.name + ".making")


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
    left_out: dict[str, str] = {}


class UploadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an upload is, as far as a restart may rely on it.

    `etags` are those of the parts that S3 has; `is_completing`: it was asked to put them together.
    `location` is the upload that a tus server has created.
    """

    etags: tuple[str, ...] = ()
    is_completing: bool = False
    location: str | None = None

    def __repr__(self) -> str:
        return f"UploadProgress({len(self.etags)} parts)"


class ClipTask(msgspec.Struct, frozen=True, kw_only=True):
    """One clip. Times are RFC 3339. `made` is the file if it was made before. `by` is the requester in
    receipts, `viewer` the name that an owner may have listed.

    `max_file_bytes` bounds the file and, of an export, what is next to it while it is made. `chunk_bytes` are
    sent at once.
    """

    state_dir: str
    box: str
    camera: str
    begin: str
    end: str
    form: UploadForm
    by: str
    viewer: str
    purpose: str
    file: str
    max_file_bytes: int
    target: UploadTarget
    ca: str | None
    chunk_bytes: int
    made: MadeFile | None = None
    progress: UploadProgress = UploadProgress()


class Making(msgspec.Struct, frozen=True, kw_only=True, tag="making"):
    """The file is being made; `ratio` is 0..1."""

    ratio: float


class Made(msgspec.Struct, frozen=True, kw_only=True, tag="made"):
    """The file is complete and durable."""

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

    reason: str
    after_s: float | None = None


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """There is no such clip, or the server refuses it. The child ends."""

    reason: str
    code: Literal["unknown", "unsupported", "forbidden", "failed"] = "failed"


ChildMessage: TypeAlias = Making | Made | Sending | Sent | Uploaded | Retry | Failed
