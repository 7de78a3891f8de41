"""`vigie scene edit`: the page it writes, the browser it opens, the files it refuses."""

import os
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import pytest

from agent.base.errors import UserError
from agent.detection.still_image import read_image
from centre.scene_page import read_picture, read_scene, write_scene_page
from tests.scene_editor.conftest import STREET_SCENE, write_picture

PROJECT = Path(__file__).parents[2]
VIGIE = [sys.executable, "-m", "agent", "scene", "edit"]
WITHOUT_SCREEN = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}


def run(*words: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VIGIE, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **WITHOUT_SCREEN, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def png(width_px: int, height_px: int) -> bytes:
    """A PNG that claims a size, with no picture in it."""
    header = b"IHDR" + struct.pack(">2I5B", width_px, height_px, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
    )


def webp(chunk: bytes, content: bytes) -> bytes:
    """A WebP of one chunk."""
    riff = b"WEBP" + chunk + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def vp8(width_px: int, height_px: int) -> bytes:
    """The head of a lossy WebP that claims a size, with no picture in it."""
    return webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<2H", width_px, height_px))


def vp8x(width_px: int, height_px: int) -> bytes:
    """The head of an extended WebP that claims a size, with no picture in it."""
    size = [(side - 1).to_bytes(3, "little") for side in (width_px, height_px)]
    return webp(b"VP8X", bytes(4) + b"".join(size))


def test_the_page_is_opened_in_the_browser(tmp_path: Path) -> None:
    write_picture(tmp_path / "street north.jpg")
    opened = tmp_path / "opened"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    script.chmod(0o700)
    done = run("street north.jpg", STREET_SCENE, cwd=tmp_path, BROWSER=f"{script} %s")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "street north.scene.html: opened in the browser\n"
    page = tmp_path / "street north.scene.html"
    assert opened.read_text() == page.resolve().as_uri()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "left lane" in page.read_text(encoding="utf-8")


def test_without_a_screen_the_page_is_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "street.jpg")
    done = run("street.jpg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "street.scene.html: open it in a browser\n")


def test_a_second_run_replaces_the_page(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "street.png", 320, 240)
    first = write_scene_page(picture, None).read_bytes()
    assert write_scene_page(picture, STREET_SCENE).read_bytes() != first
    assert read_picture(picture).width_px == 320


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture that can be used; allowed: JPEG, PNG, WebP"),
        (b"GIF89a", "not a picture that can be used"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture that can be used"),
        (b"\xff\xd8\xff", "not a whole picture"),
        (b"\x89PNG\r\n\x1a\n", "not a picture that can be used"),
        (png(100, 100), "not a whole picture"),
        (png(30_000, 10), "30000 x 10 pixels; allowed: at most 16384 to each side"),
        (png(16_000, 16_000), "16000 x 16000 pixels; allowed: "),
        (png(0, 0), "not a whole picture"),
        (png(2**32 - 1, 2**32 - 1), "4294967295 x 4294967295 pixels"),
        (b"RIFF\x04\0\0\0WEBP", "not a whole picture"),
        (webp(b"ALPH", bytes(40)), "not a whole picture"),
        (vp8(100, 100), "not a whole picture"),
        (vp8(16_000, 16_000), "16000 x 16000 pixels; allowed: "),
        (vp8x(2**24, 1), "16777216 x 1 pixels; allowed: "),
        (webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(8)), "16384 x 16384 pixels; allowed: "),
        (b"RIFF\x10\0\0\0WAVE" + bytes(40), "not a picture that can be used"),
    ],
    ids=[
        *("empty", "gif", "svg", "jpeg", "png", "no data", "wide", "large", "none", "bomb"),
        *("webp", "webp alpha", "webp no data", "webp large", "webp wide", "webp bomb", "wave"),
    ],
)  # fmt: skip
def test_a_picture_that_is_none_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "street.jpg"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        write_scene_page(file, None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("quality", [80, 101], ids=["lossy", "lossless"])
def test_a_picture_may_be_webp(tmp_path: Path, quality: int) -> None:
    ramp = read_image(write_picture(tmp_path / "street.png", 320, 240))
    file = tmp_path / "street.webp"
    file.write_bytes(cv2.imencode(".webp", ramp, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes())
    picture = read_picture(file)
    assert (picture.width_px, picture.height_px) == (320, 240)
    assert picture.jpeg.startswith(b"\xff\xd8\xff")
    # With a chunk of the extended form before it, as cameras write it for EXIF.
    content = file.read_bytes()
    plain = content[12:]
    size = [(side - 1).to_bytes(3, "little") for side in (320, 240)]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"".join(size) + plain
    file.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended)
    assert (read_picture(file).width_px, read_picture(file).height_px) == (320, 240)


def test_metadata_of_the_picture_stays_out_of_the_page(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "street.jpg", 64, 48)
    content = file.read_bytes()
    comment = (
        b"\xff\xfe" + struct.pack(">H", 2 + len(b"33.5731 N, 7.5898 W")) + b"33.5731 N, 7.5898 W"
    )
    file.write_bytes(content[:2] + comment + content[2:])
    assert b"33.5731" not in read_picture(file).jpeg


def test_a_phones_picture_is_turned_as_its_exif_orientation_says(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "street.jpg", 64, 48)
    content = file.read_bytes()
    entry = struct.pack(">HHIHH", 0x112, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4)
    file.write_bytes(
        content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + content[2:]
    )
    picture = read_picture(file)
    assert (picture.width_px, picture.height_px) == (48, 64)
    # The ramp rose from left to right: a quarter turn clockwise makes it rise from top to bottom.
    rows = read_image(file).mean(axis=(1, 2))
    assert rows[0] + 50 < rows[-1]


def test_a_film_has_no_lens_and_one_that_is_none_is_named(tmp_path: Path) -> None:
    film = tmp_path / "street.MP4"
    film.write_bytes(b"no film")
    done = run(film, "--views", "around=around.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "vigie: --views: allowed: with a picture; a film has no lens\n"
    done = run(film, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert str(film) in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [film]


def test_a_scene_with_mistakes_is_for_the_editor(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_bytes("\ufeff[[zone]\n".encode())
    assert read_scene(file).text == "[[zone]\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# caf\xe9", "not UTF-8 text, at byte 5"),
        (b"#" * 1_048_577, "more than 1048576 bytes"),
        (None, "No such file"),
    ],
    ids=["latin", "large", "missing"],
)
def test_a_scene_that_is_no_text_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    picture = write_picture(tmp_path / "street.jpg", 64, 48)
    scene = tmp_path / "scene.toml"
    if content is not None:
        scene.write_bytes(content)
    done = run(picture, scene, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "street.scene.html").exists()
