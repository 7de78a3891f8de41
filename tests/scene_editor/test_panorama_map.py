"""agent/scene_editor/panorama.js: the same directions as the head's field of view and the panorama's geometry in Python."""

import base64
import json
import math
from typing import Any

import pytest

from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import point_to_direction
from agent.ptz.panorama.stitch import geometry_segment
from drivers.angles import unwrap_near_deg
from drivers.contracts import Pose
from drivers.media import Point
from tests.scene_editor.node_views import run_views

FOV = FieldOfView(wide=62.0, tele=5.0, aspect=1.5)
SIZE_PX = (3600, 900)
POINTS = [Point(x=0.0, y=0.0), Point(x=1.0, y=0.2), Point(x=0.4, y=1.0), Point(x=0.5, y=0.5)]
POSES = [
    Pose(pan_deg=0.0, tilt_deg=-10.0, zoom=0.0),
    Pose(pan_deg=-42.5, tilt_deg=-8.0, zoom=0.25),
    Pose(pan_deg=170.0, tilt_deg=-30.0, zoom=0.0),
    Pose(pan_deg=-179.0, tilt_deg=5.0, zoom=1.0),
]


def panorama(width_deg: float = 360.0, pan_from_deg: float = -180.0) -> bytes:
    return b"\xff\xd8" + geometry_segment(SIZE_PX, pan_from_deg, width_deg, 35.0, FOV) + b"\xff\xda"


def job(jpeg: bytes, pose: Pose = POSES[0], width_px: int = SIZE_PX[0]) -> dict[str, Any]:
    return {
        "do": "panorama",
        "jpeg": base64.b64encode(jpeg).decode(),
        "width_px": width_px,
        "pose": {"pan_deg": pose.pan_deg, "tilt_deg": pose.tilt_deg, "zoom": pose.zoom},
        "points": [[point.x, point.y] for point in POINTS],
    }


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize(("width_deg", "pan_from_deg"), [(360.0, -180.0), (240.0, -150.0)])
def test_a_points_pixel_is_that_of_its_direction(
    pose: Pose, width_deg: float, pan_from_deg: float
) -> None:
    (answer,) = run_views(job(panorama(width_deg, pan_from_deg), pose))
    px_per_deg = SIZE_PX[0] / width_deg
    for index, point in enumerate(POINTS):
        direction = point_to_direction(FOV, pose, point)
        pan_deg = unwrap_near_deg(direction.pan_deg, pose.pan_deg)
        column = (pan_deg - pan_from_deg) * px_per_deg
        copies = [copy[index] for copy in answer["copies"]]
        offsets = [(found[0] - column) / (360 * px_per_deg) for found in copies]
        assert copies or width_deg < 360, "a whole turn shows every preset"
        assert all(abs(offset - round(offset)) * 360 < 0.1 for offset in offsets)
        down = math.tan(math.radians(35)) - math.tan(math.radians(direction.tilt_deg))
        rows = [down * math.degrees(1) * px_per_deg] * len(copies)
        assert [row for _, row in copies] == pytest.approx(rows, abs=1.5)


def test_a_view_over_the_edge_is_drawn_at_both_ends() -> None:
    (middle, back) = run_views(job(panorama(), POSES[0]), job(panorama(), POSES[2]))
    assert len(middle["copies"]) == 1
    assert len(back["copies"]) == 2


def test_a_smaller_copy_of_the_panorama_has_its_own_pixels() -> None:
    (full, half) = run_views(job(panorama()), job(panorama(), width_px=SIZE_PX[0] // 2))
    for one, other in zip(full["copies"][0], half["copies"][0], strict=True):
        assert [value / 2 for value in one] == pytest.approx(other)


def test_a_picture_without_whole_geometry_is_refused() -> None:
    good = panorama()
    assert run_views(job(good))[0] is not None
    wrong = [
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n" + good,
        b"\xff\xd8\xff\xe1\xff\xff",
        good[:40],
        good.replace(b"FullPanoWidth", b"FullPanoWidht"),
        good.replace(b'FullPanoWidthPixels="3600"', b'FullPanoWidthPixels="0"'),
        good.replace(b'FullPanoWidthPixels="3600"', b'FullPanoWidthPixels="-1"'),
        good.replace(b'FullPanoWidthPixels="3600"', b'FullPanoWidthPixels="99999999999"'),
        good.replace(b'"cylindrical"', b'"spherical"'),
        good.replace(b'FovTeleDeg="5.000000"', b'FovTeleDeg="500.00000"'),
        b"\xff\xd8" + b"\xff\xe2\x00\x04ab" * 40 + good[2:],
    ]
    assert run_views(*(job(jpeg) for jpeg in wrong)) == [None] * len(wrong)


def preset(**changed: Any) -> dict[str, Any]:
    pose = {"pan_deg": -42.5, "tilt_deg": -8.0, "zoom": 0.25}
    stored = {"number": None, "stored_time": "2026-11-03T07:41:05Z", "stored_by": "amina"}
    return {"name": "gate", "pose": pose, **stored, **changed}


def test_presets_are_read_from_the_reply_and_from_its_result() -> None:
    result = {"presets": [preset(), preset(name="square")]}
    reply = {"state": "done", "command": "1", "verb": "ptz", "result": result}
    lines = json.dumps({"state": "accepted"}) + "\n" + json.dumps(reply) + "\n"
    expected = [
        {"name": name, "pan_deg": -42.5, "tilt_deg": -8.0, "zoom": 0.25}
        for name in ("gate", "square")
    ]
    texts = [json.dumps(result), json.dumps(reply), lines]
    assert run_views(*({"do": "presets", "text": text} for text in texts)) == [expected] * 3


def test_other_json_is_no_list_of_presets() -> None:
    wrong: list[Any] = [
        {},
        [],
        None,
        {"presets": []},
        {"presets": [preset(name="../etc")]},
        {"presets": [preset(name="Gate")]},
        {"presets": [preset(pose={"pan_deg": 500, "tilt_deg": 0})]},
        {"presets": [preset(pose=None)]},
        {"presets": [preset(), preset()]},
        {"presets": [preset(name=f"p{number}") for number in range(257)]},
    ]
    texts = [*(json.dumps(value) for value in wrong), "{", ""]
    answers = run_views(*({"do": "presets", "text": text} for text in texts))
    assert answers == [None] * len(texts)
