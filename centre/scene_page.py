"""The scene editor for one picture: reads the picture and the scene, and writes the page that has both in it."""

import struct
from pathlib import Path

import cv2
import simplejpeg

from agent.base.atomic_file import replace_atomically
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.config.toml_decode import MAX_FILE_BYTES
from agent.detection.still_image import decode_image, read_image_file
from agent.scene_editor.assemble import EditorPicture, SceneText, assemble_page
from centre.fisheye_views import FisheyeViews

MAX_PIXELS = 100_000_000
"""A picture of 8192 x 4320 has 35 million, a panorama of a whole turn less than 80; a file of a few kB may claim a billion."""
MAX_SIDE_PX = 16_384
JPEG_QUALITY = 90
_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">16x2I")
_WEBP_START, _WEBP_NAME = b"RIFF", b"WEBP"
_WEBP_HEADER_BYTES = 30


def write_scene_page(
    picture: Path, scene: Path | None, fisheye: FisheyeViews | None = None
) -> Path:
    """Write the page next to the picture, as `NAME.scene.html`, and return its path.

    With `fisheye` the lens and the views of the camera are edited too. The page replaces one of the same name. Raises: UserError if a file cannot be read, used or written.
    """
    page = assemble_page(
        read_picture(picture),
        read_or_new_scene(scene, picture),
        {"fisheye": fisheye} if fisheye else None,
    )
    return write_page(picture.with_name(f"{picture.stem}.scene.html"), page)


def write_page(path: Path, page: str) -> Path:
    """Write a page, and return its path. Raises: UserError."""
    try:
        # The picture is of people: as private as a file of the user can be.
        replace_atomically(path, page.encode(), 0o600)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    return path


def read_picture(path: Path) -> EditorPicture:
    """Read a JPEG, PNG or WebP, and encode it again: nothing of the file but its pixels goes into the page.

    Raises: UserError if it is missing, no such picture, damaged or too large.
    """
    content = read_image_file(path)
    width_px, height_px = _read_size_px(content, path)
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_PIXELS:
        raise UserError(
            f"image {str(path)!r}: {width_px} x {height_px} pixels; allowed: at most {MAX_SIDE_PX} "
            f"to each side and {MAX_PIXELS} in all"
        )
    image = decode_image(content, path)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return EditorPicture(
        name=path.name,
        jpeg=encoded.tobytes(),
        width_px=image.shape[1],
        height_px=image.shape[0],
    )


def read_or_new_scene(path: Path | None, picture: Path) -> SceneText:
    """Read a scene as `read_scene`, or return a new one that is named after its picture."""
    return SceneText(name=f"{picture.stem}.toml", text="") if path is None else read_scene(path)


def read_scene(path: Path) -> SceneText:
    """Read the text of a scene file. A scene with mistakes is for the editor to show.

    Raises: UserError if it is missing, too large or not UTF-8.
    """
    try:
        text = read_regular_file(path, MAX_FILE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"scene {str(path)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"scene {str(path)!r}: not UTF-8 text, at byte {error.start}") from error
    return SceneText(name=path.name, text=text)


def _read_size_px(content: bytes, path: Path) -> tuple[int, int]:
    """Return the width and height that the file claims, before anything is decoded."""
    if content.startswith(_JPEG_START):
        try:
            height_px, width_px, *_ = simplejpeg.decode_jpeg_header(content)
        except ValueError as error:
            raise UserError(f"image {str(path)!r}: not a whole picture: {error}") from error
        return int(width_px), int(height_px)
    if content.startswith(_PNG_START) and len(content) >= _PNG_SIZE.size:
        width_px, height_px = _PNG_SIZE.unpack_from(content)
        return width_px, height_px
    if content.startswith(_WEBP_START) and content[8:12] == _WEBP_NAME:
        size_px = _webp_size_px(content[:_WEBP_HEADER_BYTES])
        if size_px is None:
            raise UserError(f"image {str(path)!r}: not a whole picture")
        return size_px
    raise UserError(
        f"image {str(path)!r}: not a picture that can be used; allowed: JPEG, PNG, WebP"
    )


def _webp_size_px(header: bytes) -> tuple[int, int] | None:
    """Return the size in the first chunk of a WebP (RFC 9649): lossy, lossless or extended; None if it is no such chunk."""
    if len(header) < _WEBP_HEADER_BYTES:
        return None
    match header[12:16]:
        case b"VP8 " if header[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<2H", header, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if header[20:21] == b"\x2f":
            bits = int.from_bytes(header[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            width, height = header[24:27], header[27:30]
            return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    return None
