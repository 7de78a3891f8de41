"""agent.detection.fallback_detector, agent.detection.accelerator_card and the configuration's checks."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.base.errors import UserError
from agent.base.model import LABELS
from agent.capture import camera_source
from agent.config.configuration import AcceleratorConfig
from agent.detection import accelerator_card, image
from agent.detection.accelerator_card import AcceleratorCard, to_detections, verify_file
from agent.detection.detector import SearchedRegion
from agent.detection.fallback_detector import REOPEN_AFTER_NS, FallbackDetector
from agent.detection.hailo_detector import HailoPool
from agent.detection.image import Region
from drivers.errors import DriverError
from drivers.media import FoundObject, Frame
from tests.conftest import ManualClock

GREY = np.full((120, 160), 90, np.uint8)

CARD = accelerator_card.load_card("hailo_yolox_s")
LITERT_CARD = msgspec.structs.replace(CARD, name="litert")
CONFIG = """
[box]
id = "casa-0001"
site = "a corner"
[broker]
url = "mqtt://127.0.0.1:1883"
"""
CAMERA = """
[[camera]]
name = "{name}"
driver = "{driver}"
[camera.detect.accelerator]
model = "{model}"
sha256 = "{sha256}"
"""


class Finder:
    """A detector that finds nothing, until a test sets an error."""

    def __init__(self, card: AcceleratorCard) -> None:
        self.card = card
        self.inference_count = 0
        self.cpu_ns = 0
        self.error: DriverError | None = None

    def input_width_px(self, _frame_width_px: int) -> int:
        return self.card.input.width_px

    def search(self, _frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        if self.error is not None:
            raise self.error
        self.inference_count += len(regions)
        return tuple(SearchedRegion(region, ()) for region in regions)


class Camera:
    """A camera's detector, and what it reports."""

    def __init__(self) -> None:
        self.accelerator, self.litert = Finder(CARD), Finder(LITERT_CARD)
        self.open_error: DriverError | None = None
        self.openings = 0
        self.reports: list[str | None] = []
        self.detector = FallbackDetector(
            self._open,
            self.litert,
            CARD,
            on_failure=lambda error: self.reports.append(str(error)),
            on_recovery=lambda: self.reports.append(None),
        )

    def _open(self) -> Finder:
        self.openings += 1
        if self.open_error is not None:
            raise self.open_error
        return self.accelerator

    def search(self, t_ns: int = 0) -> str:
        """Search a frame; return the name of the model that did."""
        frame = Frame(seq=0, t_ns=t_ns, y=GREY, u=GREY[::2, ::2], v=GREY[::2, ::2])
        (searched,) = self.detector.search(frame, (image.full_region(frame),))
        assert searched.region == image.full_region(frame)
        return self.detector.card.name


def test_an_accelerator_that_fails_is_replaced_at_the_same_frame_and_returns() -> None:
    camera = Camera()
    assert camera.search() == "hailo_yolox_s"
    camera.accelerator.error = DriverError("timeout", "no result")
    assert [camera.search(), camera.search()] == ["litert", "litert"]
    camera.accelerator.error = None
    assert camera.search() == "hailo_yolox_s"
    assert camera.reports == ["no result", None]
    assert camera.detector.inference_count == 4


def test_an_accelerator_that_is_being_made_ready_is_no_fault() -> None:
    camera = Camera()
    camera.accelerator.error = DriverError("busy", "is being loaded")
    assert camera.search() == "litert"
    assert camera.reports == []


def test_one_that_cannot_be_opened_is_opened_again_each_minute() -> None:
    camera = Camera()
    camera.open_error = DriverError("absent", "no file")
    assert [camera.search(t_ns) for t_ns in (0, 10**9)] == ["litert", "litert"]
    assert (camera.openings, camera.reports) == (1, ["no file"])
    camera.open_error = None
    assert camera.search(REOPEN_AFTER_NS) == "hailo_yolox_s"
    assert camera.reports == ["no file", None]


def test_cameras_share_a_model_until_the_last_of_them_closes(clock: ManualClock) -> None:
    pool, card = HailoPool(), msgspec.structs.replace(CARD, sha256="1" * 64)
    first = pool.acquire(Path("a.hef"), card, clock.boottime_ns)
    assert pool.acquire(Path("b.hef"), card, clock.boottime_ns) is first
    pool.release(card.sha256)
    assert pool.acquire(Path("a.hef"), card, clock.boottime_ns) is first
    pool.release(card.sha256)
    pool.release(card.sha256)
    with pytest.raises(DriverError, match="is closed"):
        first.input_size_px()


def test_a_file_of_another_hash_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "street.hef"
    config = AcceleratorConfig(model=CARD.name, sha256="0" * 64, file=str(file))
    with pytest.raises(DriverError, match="package hailo-models installs it") as missing:
        verify_file(CARD, config)
    file.write_bytes(b"another model")
    with pytest.raises(DriverError, match="not loaded") as other:
        verify_file(CARD, config)
    assert (missing.value.kind, other.value.kind) == ("absent", "unsupported")


@pytest.mark.parametrize("name", accelerator_card.list_card_names())
def test_the_cards_detect_road_users_and_have_a_threshold_for_each(name: str) -> None:
    card = accelerator_card.load_card(name)
    assert card.name == name
    assert set(card.labels) == set(card.thresholds) == set(LABELS)
    assert card.sha256 == ""


def test_objects_of_other_classes_and_below_their_threshold_are_no_detections() -> None:
    found = (
        FoundObject(2, 0.9, 0.1, 0.2, 0.3, 0.4),
        FoundObject(2, 0.1, 0.1, 0.2, 0.3, 0.4),
        FoundObject(44, 0.9, 0.1, 0.2, 0.3, 0.4),
    )
    (detection,) = to_detections(found, CARD)
    assert (detection.label, detection.box.w) == ("car", 0.3)


def load(folder: Path, *cameras: dict[str, str]) -> None:
    usual = {"driver": "fake", "model": "hailo_yolox_s", "sha256": "0" * 64}
    tables = [
        CAMERA.format(**{"name": f"camera-{index}", **usual, **camera})
        for index, camera in enumerate(cameras)
    ]
    path = folder / "vigie.toml"
    path.write_text(CONFIG + "".join(tables), encoding="utf-8")
    camera_source.load_sources(path, ManualClock())


def test_all_cameras_of_a_box_share_one_model_of_its_hailo(tmp_path: Path) -> None:
    load(tmp_path, {}, {"name": "south"})
    with pytest.raises(UserError, match=r"camera\[1\]\.detect\.accelerator\.sha256 .* one model"):
        load(tmp_path, {}, {"sha256": "1" * 64})


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (
            {"model": "yolo"},
            r"camera\[0\]\.detect\.accelerator\.model = 'yolo': unknown; allowed: ha",
        ),
        ({"sha256": "abc"}, r"detect\.accelerator\.sha256"),
    ],
)
def test_an_accelerator_that_cannot_be_used_is_refused(
    tmp_path: Path, camera: dict[str, str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        load(tmp_path, camera)
