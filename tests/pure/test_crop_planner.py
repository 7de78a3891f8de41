"""agent.detection.crop_planner: selection of the crops for detection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import BoundingBox
from agent.detection.crop_planner import CropCandidate, plan_crops, visibility
from agent.detection.image import Region

sizes = st.tuples(st.integers(64, 2000), st.integers(64, 2000))
interests = st.lists(
    st.builds(
        CropCandidate,
        st.builds(
            BoundingBox,
            st.floats(-0.1, 1),
            st.floats(-0.1, 1),
            st.floats(0.001, 0.9),
            st.floats(0.001, 0.9),
        ),
        st.floats(0, 5),
    ),
    max_size=60,
)


@given(interests, sizes, st.integers(0, 4))
def test_crops_are_even_inside_the_picture_and_within_the_budget(
    wanted: list[CropCandidate], size: tuple[int, int], most: int
) -> None:
    regions = plan_crops(wanted, *size, 300, most, 0.4)
    assert len(regions) <= most
    for r in regions:
        assert all(value % 2 == 0 for value in (r.x, r.y, r.w, r.h))
        assert r.w > 0
        assert r.h > 0
        assert 0 <= r.x <= r.right <= size[0]
        assert 0 <= r.y <= r.bottom <= size[1]


@given(interests, sizes)
def test_the_same_interests_give_the_same_crops(
    wanted: list[CropCandidate], size: tuple[int, int]
) -> None:
    assert plan_crops(wanted, *size, 300, 3, 0.4) == plan_crops(wanted, *size, 300, 3, 0.4)


def test_without_interests_there_is_no_crop() -> None:
    assert plan_crops([], 1920, 1080, 300, 3, 0.4) == ()
    assert (
        plan_crops([CropCandidate(BoundingBox(0.5, 0.5, 0.1, 0.1), 0.1)], 1920, 1080, 300, 3, 0.4)
        == ()
    )


def test_a_small_object_gets_a_small_crop() -> None:
    (region,) = plan_crops(
        [CropCandidate(BoundingBox(0.5, 0.5, 0.02, 0.03), 1.0)], 1920, 1080, 300, 1, 0.4
    )
    assert region.w <= 300
    assert region.x < 0.5 * 1920 < 0.52 * 1920 < region.right


def test_two_neighbours_share_one_crop() -> None:
    near = [
        CropCandidate(BoundingBox(0.50, 0.5, 0.03, 0.05), 1.0),
        CropCandidate(BoundingBox(0.54, 0.5, 0.03, 0.05), 1.0),
    ]
    assert len(plan_crops(near, 1920, 1080, 300, 3, 0.4)) == 1


def test_two_distant_objects_get_one_crop_each() -> None:
    far = [
        CropCandidate(BoundingBox(0.1, 0.1, 0.02, 0.03), 1.0),
        CropCandidate(BoundingBox(0.9, 0.9, 0.02, 0.03), 1.0),
    ]
    assert len(plan_crops(far, 1920, 1080, 300, 3, 0.4)) == 2


def test_the_most_urgent_crop_comes_first() -> None:
    far = [
        CropCandidate(BoundingBox(0.1, 0.1, 0.02, 0.03), 1.0),
        CropCandidate(BoundingBox(0.9, 0.9, 0.02, 0.03), 2.0),
    ]
    assert plan_crops(far, 1920, 1080, 300, 1, 0.4)[0].x > 960


def test_an_object_that_fills_the_picture_gets_the_whole_picture() -> None:
    (region,) = plan_crops(
        [CropCandidate(BoundingBox(0.05, 0.05, 0.9, 0.9), 1.0)], 640, 480, 300, 2, 0.2
    )
    assert region == Region(0, 0, 640, 480)


@pytest.mark.parametrize(
    ("box", "how"),
    [
        (BoundingBox(0.45, 0.45, 0.1, 0.1), 1.0),  # in the middle of the window
        (BoundingBox(0.30, 0.45, 0.1, 0.1), 0.0),  # across its edge
        (BoundingBox(0.05, 0.05, 0.1, 0.1), 0.0),  # outside
        (BoundingBox(0.49, 0.49, 0.001, 0.001), 0.0),  # far too small
    ],
)
def test_the_share_of_a_box_shown_by_a_crop_is_computed(box: BoundingBox, how: float) -> None:
    assert visibility([box], [Region(350, 350, 300, 300)], 1000, 1000)[0] == pytest.approx(how)


def test_without_crops_no_box_is_shown() -> None:
    assert visibility([BoundingBox(0, 0, 1, 1)], [], 100, 100).tolist() == [0.0]
