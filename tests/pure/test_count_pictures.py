"""Heat map of tracks and pictures of a crossing, without a film."""

import numpy as np
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import BoundingBox
from centre.count.crossing_pictures import (
    MAX_PICTURE_BYTES,
    SIZE_PX,
    choose_region,
    draw_crossing,
    encode_jpeg,
)
from centre.count.heat_map import COLUMNS, ROWS, TrackHeat
from centre.count.track_file import TrackRow
from drivers.media import Frame
from tests.count_result import build_scene

SIDES = st.floats(0, 1)
LINE = build_scene(("north", "south"), ground=False).line[0]


@st.composite
def boxes(draw: st.DrawFn) -> BoundingBox:
    left, right = sorted((draw(SIDES), draw(SIDES)))
    top, bottom = sorted((draw(SIDES), draw(SIDES)))
    return BoundingBox(left, top, right - left, bottom - top)


@given(
    around=st.lists(boxes(), min_size=1, max_size=3),
    width_px=st.integers(160, 4096),
    height_px=st.integers(120, 2160),
)
def test_a_region_is_within_the_picture_and_in_the_shape_of_the_report(
    around: list[BoundingBox], width_px: int, height_px: int
) -> None:
    region = choose_region(around, width_px, height_px)
    assert region.x >= 0
    assert region.y >= 0
    assert region.right <= width_px
    assert region.bottom <= height_px
    assert min(region.w, region.h) >= 8
    assert not any(side % 2 for side in (region.x, region.y, region.w, region.h))
    assert abs(region.w / region.h - SIZE_PX[0] / SIZE_PX[1]) < 0.2


def test_a_region_has_all_boxes_with_a_margin() -> None:
    region = choose_region(
        [BoundingBox(0.4, 0.4, 0.1, 0.1), BoundingBox(0.55, 0.45, 0.1, 0.1)], 1280, 720
    )
    assert region.x < 0.39 * 1280
    assert region.right > 0.66 * 1280


def noise_frame(width_px: int = 640, height_px: int = 360) -> Frame:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 255, (height_px, width_px), np.uint8)
    u, v = (np.full((height_px // 2, width_px // 2), 128, np.uint8) for _ in range(2))
    return Frame(seq=0, t_ns=0, y=y, u=u, v=v)


def test_a_picture_is_bounded_whatever_is_in_it() -> None:
    frame = noise_frame()
    region = choose_region([BoundingBox(0.4, 0.4, 0.1, 0.1)], frame.width_px, frame.height_px)
    jpeg = draw_crossing(frame, region, LINE, 0.5, BoundingBox(0.4, 0.4, 0.1, 0.1), is_forward=True)
    assert len(jpeg) <= MAX_PICTURE_BYTES
    assert simplejpeg.decode_jpeg_header(jpeg)[:2] == SIZE_PX[::-1]
    assert len(encode_jpeg(np.zeros((90, 120, 3), np.uint8), 1)) > 1


def test_the_line_the_direction_and_the_box_are_drawn() -> None:
    grey = Frame(
        seq=0,
        t_ns=0,
        y=np.full((360, 640), 128, np.uint8),
        u=np.full((180, 320), 128, np.uint8),
        v=np.full((180, 320), 128, np.uint8),
    )
    box = BoundingBox(0.45, 0.42, 0.1, 0.16)
    region = choose_region([box], 640, 360)
    drawn = {
        key: draw_crossing(grey, region, LINE, 0.5, one, is_forward=forward)
        for key, one, forward in (("plain", None, True), ("box", box, True), ("back", None, False))
    }
    assert len(set(drawn.values())) == 3
    picture = simplejpeg.decode_jpeg(drawn["plain"])
    line_row = round((0.5 * 360 - region.y) * SIZE_PX[1] / region.h)
    assert picture[line_row, 20].min() > 200
    assert abs(int(picture[20, 20].max()) - 130) < 15


def row(track: int, t_s: float, x: float, y: float) -> TrackRow:
    box = BoundingBox(x - 0.05, y - 0.1, 0.1, 0.1)
    return TrackRow(t_s=t_s, frame=0, track=track, label="car", score=0.9, box=box)


def test_a_road_user_that_stands_counts_once() -> None:
    heat = TrackHeat()
    for step in range(500):
        heat.add(row(1, step / 10, 0.5, 0.5))
    assert (heat.tracks, heat.most) == (1, 1)


def test_each_road_user_counts_on_all_of_its_way() -> None:
    heat = TrackHeat()
    for track in range(7):
        for step in range(3):
            heat.add(row(track, track * 100 + step, 0.1 + 0.4 * step, 0.5))
    assert (heat.tracks, heat.most) == (7, 7)
    street = np.full((180, 320, 3), 100, np.uint8)
    picture = heat.render(street, ())
    y_px = round(0.5 * (ROWS - 1) / ROWS * 180)
    assert (picture[y_px, 40:280].max(axis=1) >= 150).all(), "a way without a gap"
    assert np.array_equal(picture[20], street[20])
    assert COLUMNS > ROWS


def test_films_number_their_tracks_anew_and_memory_does_not_grow() -> None:
    heat = TrackHeat()
    for _ in range(2):
        heat.add(row(1, 0, 0.5, 0.5))
        heat.end_film()
    assert (heat.tracks, heat.most) == (2, 2)
    for track in range(1000):
        heat.add(row(track, track * 1.0, 0.5, 0.5))
    assert len(heat._live) < 130


def test_a_foot_outside_of_the_picture_is_at_its_edge() -> None:
    heat = TrackHeat()
    heat.add(row(1, 0, 1.4, 1.2))
    heat.add(row(1, 0.1, -0.3, -0.2))
    assert heat.most == 1
