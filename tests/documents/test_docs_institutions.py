"""docs/institutions.md: its example loads, each key is named, the numbers equal the code's."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from agent.capture import onvif_events
from agent.capture.onvif_events import is_wanted
from agent.config.configuration import CameraConfig, InstitutionConfig, OnvifConfig
from agent.config.heads import HeadConfig
from drivers.catalog import load_camera_driver, load_ptz_driver
from drivers.onvif.camera_info import strip_prefixes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "institutions.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example_loads() -> None:
    tables = tomllib.loads(EXAMPLE)
    (camera,) = msgspec.convert(tables["camera"], list[CameraConfig])
    assert camera.institution is not None
    assert camera.onvif is not None
    for options in (camera.options, camera.detect_options):
        msgspec.convert(options, load_camera_driver(camera.driver).Options)
    (head,) = msgspec.convert(tables["head"], list[HeadConfig])
    assert head.camera == camera.name
    msgspec.convert(head.options, load_ptz_driver(head.driver).Options)


@pytest.mark.parametrize(
    ("table", "struct"),
    [("[camera.institution]", InstitutionConfig), ("[camera.onvif]", OnvifConfig)],
)
def test_each_key_has_its_row(table: str, struct: type[msgspec.Struct]) -> None:
    rows = PAGE.partition(f"| Key of `{table}` | |\n|---|---|\n")[2].partition("\n\n")[0]
    named = {key for row in rows.splitlines() for key in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(struct.__struct_fields__)


def test_the_pages_statements_on_topics_and_names_are_true() -> None:
    assert onvif_events.SILENT_AFTER_S == 60
    assert is_wanted(strip_prefixes("tns1:VideoSource/MotionAlarm"), ["MotionAlarm"])
    tram = InstitutionConfig(owner="Casa Tramway", purpose="safety", viewers=())
    assert not tram.can_view("Samira Alaoui")
    with pytest.raises(ValueError, match="identifies people"):
        OnvifConfig(url="http://10.0.0.31", events=("FaceRecognition/Match",))
