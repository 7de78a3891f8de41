"""agent.app.start_config: what the agent starts with: the box's file, and the centre's version on top of it."""

from pathlib import Path

import pytest

from agent.app.start_config import load_start_config
from agent.base.errors import UserError
from agent.config.desired_config import DesiredPreset
from agent.config.desired_store import ConfigLayer, DesiredStore
from tests.conftest import ManualClock
from tests.pole_config import POLE_CONFIG

CONFIG = f"""{POLE_CONFIG}[[head]]
name = "mast"
driver = "fake"
camera = "north"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "vigie.toml"
    path.write_text(CONFIG)
    return path


def keep(path: Path, layer: ConfigLayer) -> None:
    store = DesiredStore(path.parent / "state")
    store.begin(layer, "keys", "omar", "boot", 1)
    store.confirm(0, "boot")


def test_heads_get_the_presets_and_tours_of_the_version(path: Path, clock: ManualClock) -> None:
    tour = {"name": "night", "stop": [{"preset": "gate"}]}
    keep(
        path,
        ConfigLayer(
            version=1,
            by="amina",
            since="2026-11-25T10:00:00.000Z",
            settings={"head": {"mast": {"home": "gate", "tour": [tour]}}},
            presets={"mast": {"gate": DesiredPreset(pan_deg=40, tilt_deg=-5)}},
            scenes={"north": {"gate": ""}},
        ),
    )
    (head,) = load_start_config(path, clock, "boot").specs.heads
    assert (head.config.home, head.config.tour[0].name) == ("gate", "night")
    assert (head.presets["gate"].pose.pan_deg, head.presets["gate"].stored_by) == (40, "amina")


def test_a_version_with_a_wrong_tour_is_left_out_as_a_whole(path: Path, clock: ManualClock) -> None:
    keep(
        path,
        ConfigLayer(
            version=1,
            settings={
                "record": {"max_age_h": 24},
                "head": {"mast": {"time_zone": "Nowhere/City", "tour": []}},
            },
        ),
    )
    start = load_start_config(path, clock, "boot")
    assert start.layer == ConfigLayer()
    assert start.config.record.max_age_h == 72
    assert start.refusal
    assert start.refusal[0].startswith("head.mast.time_zone = 'Nowhere/City'")


def test_a_wrong_file_is_refused_whatever_the_version_says(path: Path, clock: ManualClock) -> None:
    keep(path, ConfigLayer(version=1))
    path.write_text(CONFIG.replace('driver = "fake"', 'driver = "none"'))
    with pytest.raises(UserError, match="driver"):
        load_start_config(path, clock, "boot")
