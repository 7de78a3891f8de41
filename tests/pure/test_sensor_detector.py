"""agent.detection.sensor_detector, the openings of agent.pipeline.camera_detector, drivers.csi.sensor_network."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.model import BoundingBox
from agent.detection import accelerator_card, image
from agent.detection.crop_planner import CropCandidate, plan_crops
from agent.detection.image import Region
from agent.detection.sensor_detector import (
    AREA_DWELL_NS,
    MAX_AREA_SIDE,
    MAX_SILENCE_NS,
    SensorDetector,
    choose_area,
)
from agent.pipeline.camera_detector import MAX_TRIES, MIN_PAUSE_S, SensorNetworkOpenings
from drivers.contracts import SensorNetwork, StreamRequest
from drivers.csi.sensor_network import MASK_MEMORY_NS, MASK_MEMORY_PICTURES, MaskFilter
from drivers.errors import DriverError
from drivers.masking import WHOLE_PICTURE
from drivers.media import (
    NS_PER_S,
    WHOLE_AREA,
    FoundObject,
    Frame,
    PictureArea,
    Point,
    Polygon,
    SensorInference,
)
from tests.conftest import ManualClock

CARD = accelerator_card.load_card("imx500_nanodet_plus")
GREY = np.full((360, 640), 90, np.uint8)
CAR = FoundObject(2, 0.9, 0.5, 0.5, 0.2, 0.1)
CORNER = (Point(0, 0), Point(0.2, 0), Point(0.2, 0.2), Point(0, 0.2))
SMALL = Region(320, 180, 64, 36)


class Sensor:
    """A camera with a network in its sensor."""

    def __init__(self) -> None:
        self.network_error: str | None = None
        self.areas: list[PictureArea] = []

    def set_search_area(self, area: PictureArea) -> None:
        self.areas.append(area)


def frame(t_ns: int, inference: SensorInference | None) -> Frame:
    return Frame(seq=0, t_ns=t_ns, y=GREY, u=GREY[::2, ::2], v=GREY[::2, ::2], inference=inference)


def found(*objects: FoundObject, area: PictureArea = WHOLE_AREA) -> SensorInference:
    return SensorInference(area=area, objects=objects)


def test_the_results_of_a_region_are_in_0_to_1_of_it() -> None:
    detector = SensorDetector(CARD, Sensor)
    area = PictureArea(0.5, 0.25, 0.5, 0.5)
    (searched,) = detector.search(frame(1, found(CAR, area=area)), ())
    assert searched.region == Region(320, 90, 320, 180)
    (car,) = searched.detections
    assert (car.box.x, car.box.y, car.box.w, car.box.h) == pytest.approx((0, 0.5, 0.4, 0.2))


def test_a_frame_without_results_was_not_searched_and_a_long_silence_is_a_failure() -> None:
    sensor = Sensor()
    detector = SensorDetector(CARD, lambda: sensor)
    assert detector.search(frame(0, None), (SMALL,)) == ()
    detector.search(frame(MAX_SILENCE_NS, None), ())
    with pytest.raises(DriverError, match="no result of the sensor for 5 s"):
        detector.search(frame(MAX_SILENCE_NS + 1, None), ())
    assert detector.search(frame(MAX_SILENCE_NS + 2, found()), ()) != ()
    sensor.network_error = "its file does not exist"
    with pytest.raises(DriverError, match="its file does not exist"):
        detector.search(frame(MAX_SILENCE_NS + 3, None), ())


def test_the_region_of_interest_follows_the_wanted_regions_but_not_often() -> None:
    sensor = Sensor()
    detector = SensorDetector(CARD, lambda: sensor)
    t_ns = AREA_DWELL_NS
    detector.search(frame(t_ns, found()), (SMALL,))
    (area,) = sensor.areas
    assert (area.w, area.h) == (0.25, 0.25)
    other = Region(0, 0, 64, 36)
    detector.search(frame(t_ns + 1, found()), (other,))
    detector.search(frame(t_ns + AREA_DWELL_NS, found()), ())
    assert len(sensor.areas) == 1
    detector.search(frame(t_ns + AREA_DWELL_NS, found()), (other,))
    detector.search(frame(t_ns + 2 * AREA_DWELL_NS, found()), (image.full_region(frame(0, None)),))
    assert sensor.areas[1:] == [PictureArea(0, 0, 0.25, 0.25), WHOLE_AREA]


def test_a_region_is_worth_it_down_to_the_sensors_own_pixels() -> None:
    """The planner would never plan less than the picture for a network of 416 pixels on frames of 360 lines."""
    detector = SensorDetector(CARD, Sensor)
    assert detector.input_width_px(640) == 66
    candidate = CropCandidate(BoundingBox(0.5, 0.5, 0.03, 0.05), 1.0)
    (planned,) = plan_crops([candidate], 640, 360, detector.input_width_px(640), 1, 0.4)
    assert choose_area([planned], 640, 360).w == 0.25


def test_a_camera_that_was_opened_again_searches_the_whole_picture() -> None:
    sensors = [Sensor()]
    detector = SensorDetector(CARD, lambda: sensors[-1])
    detector.search(frame(AREA_DWELL_NS, found()), (SMALL,))
    sensors.append(Sensor())
    detector.search(frame(2 * AREA_DWELL_NS, found()), (SMALL,))
    assert sensors[0].areas == sensors[1].areas != []


def test_a_camera_that_was_opened_again_has_time_for_its_first_result() -> None:
    sensors: list[Sensor | None] = [Sensor()]
    detector = SensorDetector(CARD, lambda: sensors[-1])
    detector.search(frame(0, found()), ())
    # A minute away; its last frame may come after it was closed.
    sensors.append(None)
    detector.search(frame(1, None), ())
    back_ns = 60 * NS_PER_S
    sensors.append(Sensor())
    detector.search(frame(back_ns, None), ())
    detector.search(frame(back_ns + MAX_SILENCE_NS, None), ())
    with pytest.raises(DriverError, match="no result of the sensor for 5 s"):
        detector.search(frame(back_ns + MAX_SILENCE_NS + 1, None), ())


@given(
    st.lists(
        st.builds(
            Region,
            st.integers(0, 300).map(lambda n: 2 * n),
            st.integers(0, 160).map(lambda n: 2 * n),
            st.integers(1, 20).map(lambda n: 2 * n),
            st.integers(1, 20).map(lambda n: 2 * n),
        ),
        min_size=1,
    )
)
def test_the_area_contains_each_wanted_region_and_keeps_the_pictures_shape(
    regions: list[Region],
) -> None:
    area = choose_area(regions, 640, 360)
    assert area.w == area.h
    assert area == WHOLE_AREA or area.w <= MAX_AREA_SIDE
    for one in regions:
        assert area.x * 640 <= one.x + 1e-6
        assert one.right - 1e-6 <= (area.x + area.w) * 640
        assert area.y * 360 <= one.y + 1e-6
        assert one.bottom - 1e-6 <= (area.y + area.h) * 360


@given(
    st.builds(
        lambda x, y, w, h: FoundObject(2, 0.9, x, y, w * (1 - x), h * (1 - y)),
        *(st.floats(0, 0.99),) * 2,
        *(st.floats(0.01, 1),) * 2,
    )
)
def test_no_object_that_reaches_into_a_mask_is_kept(one: FoundObject) -> None:
    mask_filter = MaskFilter()
    mask_filter.update((CORNER,), 0)
    if mask_filter.keep([one]):
        assert one.x >= 0.2 or one.y >= 0.2
    elif one.x > 0.22 or one.y > 0.22:
        raise AssertionError("it touches no mask")


def test_former_masks_count_for_a_while_and_unknown_ones_hide_everything() -> None:
    mask_filter = MaskFilter()
    mask_filter.update(WHOLE_PICTURE, 0)
    assert mask_filter.keep([CAR]) == ()
    mask_filter.update((CORNER,), 10)
    assert mask_filter.keep([CAR]) == ()
    show_pictures(mask_filter, (CORNER,), 10 + MASK_MEMORY_NS)
    assert mask_filter.keep([CAR]) == (CAR,)
    mask_filter.update((), 10 + 2 * MASK_MEMORY_NS)
    at_corner = msgspec.structs.replace(CAR, x=0.1, y=0.1)
    assert mask_filter.keep([at_corner]) == ()
    show_pictures(mask_filter, (), 9 + 3 * MASK_MEMORY_NS)
    assert mask_filter.keep([at_corner]) == ()
    mask_filter.update((), 11 + 3 * MASK_MEMORY_NS)
    assert mask_filter.keep([at_corner]) == (at_corner,)


def test_former_masks_count_for_some_pictures_if_these_are_seconds_apart() -> None:
    """At night: the result in the next picture is of the one before, which the head may have taken elsewhere."""
    mask_filter = MaskFilter()
    mask_filter.update((CORNER,), 0)
    at_corner = msgspec.structs.replace(CAR, x=0.1, y=0.1)
    for number in range(1, MASK_MEMORY_PICTURES + 1):
        mask_filter.update((), number * 10 * MASK_MEMORY_NS)
        assert mask_filter.keep([at_corner]) == ()
    mask_filter.update((), 100 * MASK_MEMORY_NS)
    assert mask_filter.keep([at_corner]) == (at_corner,)


def show_pictures(mask_filter: MaskFilter, masks: tuple[Polygon, ...], t_ns: int) -> None:
    for _ in range(MASK_MEMORY_PICTURES):
        mask_filter.update(masks, t_ns)


def test_recording_does_not_wait_for_a_network_that_gives_no_result(clock: ManualClock) -> None:
    network = SensorNetwork(file="street.rpk", labels={"car": 2}, min_score=0.25)
    request = StreamRequest(packets=True, frames_fps=5.0)
    openings = SensorNetworkOpenings(lambda: network, clock.boottime_ns)
    tries = [openings.apply(request).network for _ in range(MAX_TRIES + 1)]
    assert tries == [network] * MAX_TRIES + [None]
    clock.advance_s(MIN_PAUSE_S)
    assert openings.apply(request).network == network
    openings.on_result()
    assert [openings.apply(request).network for _ in range(MAX_TRIES)] == [network] * MAX_TRIES


def test_without_frames_or_with_another_file_there_is_no_network(clock: ManualClock) -> None:
    request = StreamRequest(packets=True, frames_fps=5.0)
    assert SensorNetworkOpenings(lambda: None, clock.boottime_ns).apply(request) == request
    network = SensorNetwork(file="street.rpk", labels={"car": 2}, min_score=0.25)
    openings = SensorNetworkOpenings(lambda: network, clock.boottime_ns)
    recorded = StreamRequest(packets=True, frames_fps=0.0)
    assert openings.apply(recorded) == recorded


def test_an_unknown_card_is_refused() -> None:
    with pytest.raises(UserError, match="unknown; allowed: hailo"):
        accelerator_card.load_card("yolo")
