"""`camera` at the console: focus by the sharpest seen, a JPEG as a file, a picture in the terminal's graphics."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from agent.base.health_model import AreaDensity, GroundHealth
from agent.console import file_transfer, xmodem
from agent.console.commands.camera import GRAPHICS_SIZE_PX, MAX_JPEG_BYTES
from tests.conftest import ManualClock
from tests.parts.console_peers import make_picture
from tests.parts.console_rig import ConsoleRig
from tests.parts.graphics_terminal import GraphicsTerminal, decode_sixel


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


def sharp_and_blurred() -> tuple[np.ndarray, np.ndarray]:
    sharp = make_picture(1, 720, 1280)
    return sharp, np.asarray(cv2.GaussianBlur(sharp, (0, 0), 8), np.uint8)


@pytest.mark.parametrize(
    ("turns", "line", "verdict"),
    [
        ("bsbs", "focus: 100 % of the best seen [####################]", "pass"),
        ("bsb", "% of the best seen [", "FAIL: below the mark"),
        ("bs", "focus: 100 % of the best seen", "turn on past the sharpest"),
    ],
)
def test_a_lens_is_in_focus_by_the_sharpest_picture_seen(
    rig: ConsoleRig, turns: str, line: str, verdict: str
) -> None:
    sharp, blurred = sharp_and_blurred()
    rig.views = [sharp if turn == "s" else blurred for turn in turns for _ in range(3)]
    screen = rig.run_logged_in("camera focus", silence_s=len(rig.views) * 0.25)
    lines = [part for part in screen.split("\r") if part.startswith("focus: ")]
    assert line in lines[-1]
    assert lines[-1].rstrip().endswith(verdict)
    assert all(len(part.rstrip()) < 80 for part in lines)
    assert "\x1b" not in screen


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
def test_leaving_the_focus_prints_the_verdict_and_its_threshold(
    rig: ConsoleRig, language: str
) -> None:
    sharp, blurred = sharp_and_blurred()
    rig.views = [view for view in (sharp, blurred, sharp) for _ in range(3)]
    rig.line.on_read = lambda: bool(rig.previews) and len(rig.previews[0].views) > 1
    screen = rig.run_logged_in(f"language {language}", "camera focus", keys=b"q")
    last = screen.rstrip().splitlines()[-2]
    assert "85 %" in last
    if language == "en":
        assert last == "focus: pass; allowed: 85 % of the best seen or more"
    assert rig.context.best_focus.keys() == {"north"}


def test_a_lens_that_was_not_turned_is_not_judged(rig: ConsoleRig) -> None:
    rig.views = [sharp_and_blurred()[0]]
    screen = rig.run_logged_in("camera focus", keys=b"q")
    assert "focus: turn on past the sharpest; allowed: 85 % of the best seen or more" in screen
    assert rig.context.best_focus == {}


@pytest.mark.parametrize(
    ("terminal", "protocol"),
    [
        (GraphicsTerminal(da1=b"\x1b[?64;1;2;4;6;22c"), "sixel"),
        (GraphicsTerminal(da1=b"\x1b[?62;c", kitty=b"\x1b_Gi=31;OK\x1b\\"), "kitty"),
    ],
)
def test_a_picture_is_shown_in_the_graphics_that_the_terminal_reports(
    rig: ConsoleRig, terminal: GraphicsTerminal, protocol: str
) -> None:
    luma = make_picture(2, 720, 1280)
    rig.views = [luma]
    terminal.sit_at(rig.line)
    screen = rig.run_logged_in("camera picture")
    assert "north, 1280 x 720, shown by the agent" in screen
    assert "glass" in screen
    data = bytes(rig.line.output)
    if protocol == "sixel":
        shown = decode_sixel(data)
        assert shown.shape == (135, 240)
        small = cv2.resize(luma, (240, 135), interpolation=cv2.INTER_AREA)
        assert np.abs(shown.astype(int) - small).mean() < 9
    else:
        assert b"\x1b_Ga=T,q=2,f=24,o=z,s=240,v=135,m=" in data
    assert rig.purposes == ["looked through it at the box's console"]


@pytest.mark.parametrize(
    "terminal",
    [
        GraphicsTerminal(),
        GraphicsTerminal(da1=b"\x1b[?6c"),
        GraphicsTerminal(da1=b"\x1b[?c"),
        GraphicsTerminal(da1=b"\x1b[?1;2c", kitty=b"\x1b_Gi=31;OK\x1b\\"),
        GraphicsTerminal(da1=b"\x1b[?62;22c"),
        GraphicsTerminal(da1=b"\x1b[?62;22c", kitty=b"\x1b_Gi=31;ENOTSUP:no\x1b\\"),
        GraphicsTerminal(da1=b"4;4;4c"),
    ],
)
def test_a_terminal_without_graphics_gets_one_line_and_no_picture(
    rig: ConsoleRig, terminal: GraphicsTerminal
) -> None:
    terminal.sit_at(rig.line)
    began_ns = rig.clock.now_ns
    screen = rig.run_logged_in("camera picture", silence_s=3)
    assert (
        "this terminal program shows no pictures (sixel, kitty); allowed: camera north,\n"
        "camera north xmodem\n" in screen
    )
    assert rig.previews == []
    assert rig.clock.now_ns - began_ns < 6e9
    assert b"\x1bP" not in rig.line.output


def test_keys_typed_during_the_query_are_not_lost(rig: ConsoleRig) -> None:
    GraphicsTerminal(da1=b"sta\x1b[?64;4cus\r").sit_at(rig.line)
    rig.line.on_read = lambda: False
    screen = rig.run_logged_in("camera picture")
    assert "casa-0001> staus" in screen


def test_a_picture_fits_its_size_in_its_own_shape(rig: ConsoleRig) -> None:
    rig.views = [make_picture(3, 480, 640)]
    GraphicsTerminal(da1=b"\x1b[?62;4c").sit_at(rig.line)
    rig.run_logged_in("camera picture")
    assert decode_sixel(bytes(rig.line.output)).shape[::-1] == GRAPHICS_SIZE_PX


@pytest.mark.parametrize("missing", range(0, 128, 7))
def test_a_padded_jpeg_is_the_same_picture_in_whole_blocks(missing: int) -> None:
    rng = np.random.default_rng(missing)
    pixels = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    jpeg = simplejpeg.encode_jpeg(pixels, quality=60)
    comment = b"\xff\xfe" + (2 + missing).to_bytes(2, "big") + b"x" * missing
    jpeg = jpeg[:2] + comment + jpeg[2:]
    padded = file_transfer.pad_jpeg(jpeg)
    assert len(padded) % xmodem.SHORT_BLOCK_BYTES == 0
    assert len(padded) - len(jpeg) < xmodem.SHORT_BLOCK_BYTES
    assert padded.endswith(b"\xff\xd9")
    assert (simplejpeg.decode_jpeg(padded) == simplejpeg.decode_jpeg(jpeg)).all()


def test_the_largest_picture_takes_ten_seconds() -> None:
    assert MAX_JPEG_BYTES % xmodem.SHORT_BLOCK_BYTES == 0
    assert 9.9 < MAX_JPEG_BYTES / file_transfer.LINE_BYTES_PER_S <= 10


def test_a_picture_is_not_sent_without_its_receipt(rig: ConsoleRig) -> None:
    rig.break_custody_log()
    assert "It is not done without a receipt." in rig.run_logged_in("camera xmodem")
    assert rig.previews == []


def test_a_picture_file_is_announced_with_its_time_and_its_receipts(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("camera xmodem", keys=b"\x03")
    name = re.search(r"casa-0001-north-\d{8}T\d{6}Z\.jpg", screen)
    digest = re.search(r"sha256 ([0-9a-f]{64})", screen)
    assert name
    assert digest
    assert "at 115200 baud" in " ".join(screen.split())
    assert rig.purposes == ["took a picture over the cable of the box's console"]
    assert ("amina", f"sends {name[0]}, sha256 {digest[1]}") in rig.receipts
    assert rig.previews[0].closed


def test_check_6_names_the_lines_and_zones_with_too_few_pixels_and_passes_the_camera(
    rig: ConsoleRig,
) -> None:
    weak = AreaDensity(kind="line", name="street", px_per_m=22.0, needed_px_per_m={"car": 30})
    rig.ground = GroundHealth(error_m=0.3, moved=None, low_density=(weak,))
    screen = " ".join(rig.run_logged_in("check 6").split())
    assert "pass camera north: 15.0 frames/s captured" in screen
    assert "- camera north: line 'street': 22.0 pixels per metre; needed: 30 for car" in screen
    assert "FAIL" not in screen
