"""Photos of an installation, taken by a technician: a phone's JPEG is decoded in a confined child and encoded again.

So a record has no position, no name of the phone and nothing else of its EXIF data, and no parser of this process
reads the file.
"""

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.sha256 import sha256_hex
from agent.detection.image import encode_snapshot
from agent.diagnostics.commissioning.certificate import PhotoRecord
from drivers.errors import DriverError
from drivers.keyframe_decoder import KeyframeDecoder
from drivers.media import Packet

MAX_PHOTO_BYTES = 400_000
MAX_TITLE_CHARS = 80
_JPEG_START = b"\xff\xd8\xff"


class Photo(msgspec.Struct, frozen=True, kw_only=True):
    """A photo as it goes into the record: at most 1280 pixels wide and high."""

    title: str
    jpeg: bytes
    width_px: int
    height_px: int

    @property
    def record(self) -> PhotoRecord:
        """The entry of the record."""
        return PhotoRecord(
            title=self.title,
            sha256=sha256_hex(self.jpeg),
            width_px=self.width_px,
            height_px=self.height_px,
        )


def read_photo(data: bytes, title: str) -> Photo:
    """Return a photo of a JPEG of any size. Raises UserError with one line."""
    if not data.startswith(_JPEG_START):
        raise _not_a_photo()
    decoder = KeyframeDecoder("photo", "mjpeg")
    try:
        frame = decoder.decode(Packet(t_ns=0, pts_ns=0, dts_ns=0, is_key=True, data=data))
    except DriverError as error:
        raise _not_a_photo() from error
    finally:
        decoder.close()
    if frame is None:
        raise _not_a_photo()
    return Photo(
        title="".join(char if char.isprintable() else " " for char in title)[:MAX_TITLE_CHARS],
        jpeg=encode_snapshot(frame, MAX_PHOTO_BYTES),
        width_px=frame.width_px,
        height_px=frame.height_px,
    )


def _not_a_photo() -> UserError:
    return UserError(
        Message("photo: cannot be read; allowed: a whole JPEG of at most 50 megapixels")
    )
