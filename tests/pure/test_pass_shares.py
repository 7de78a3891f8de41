"""bench.passes: shares of the detector's passes by window."""

import pytest

from agent.detection.image import Region
from bench.passes import PassShares, pass_shares

PICTURE = Region(0, 0, 640, 360)
SMALL, LARGE = Region(0, 0, 226, 226), Region(0, 0, 360, 360)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ([], (0, 0, 0, 0, 0)),
        ([()], (0, 0, 0, 0, 0)),
        ([(PICTURE,)], (1, 1, 0, 0, 0)),
        ([(SMALL,), (SMALL,)], (2, 0, 1, 0, 0)),
        ([(SMALL, SMALL)], (2, 0, 1, 0.5, 0)),
        ([(SMALL,) * 5], (5, 0, 1, 0.6, 0)),
        ([(PICTURE, SMALL, LARGE), (LARGE,)], (4, 0.25, 0.25, 0, 0.5)),
    ],
)
def test_windows_of_one_picture_can_be_joined_up_to_four(
    pictures: list[tuple[Region, ...]], expected: tuple[float, ...]
) -> None:
    passes, whole, small, saved, next_to_whole = expected
    assert pass_shares([(PICTURE, regions) for regions in pictures], 320) == PassShares(
        passes=int(passes),
        whole=whole,
        small=small,
        saved_by_joining=pytest.approx(saved),
        next_to_whole=next_to_whole,
    )
