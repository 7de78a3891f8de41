"""Pictures that the console and the page at the pole show without an agent: with the masks in force, or not at all."""

import base64
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.base.clock import SystemClock, boot_id
from agent.base.device_identity import IDENTITY_DIR, DeviceIdentity
from agent.base.sha256 import sha256_hex
from agent.config import console_settings
from agent.config.desired_store import ConfigLayer, DesiredStore, layer_file
from agent.config_change.start_config import load_start_config
from agent.console.acts.aim_comparison import read_reference
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import CameraRecord, InstallationRecord
from drivers.masking import MASK_LUMA
from drivers.media import Plane
from tests.pole_config import POLE_CONFIG

CLOCK = SystemClock()
TIMEOUT_S = 60.0
WHOLE_MASK = "[[mask]]\npolygon = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]\n"
MASKED = ConfigLayer(version=7, scenes={"north": WHOLE_MASK})


def keep(state_dir: Path, layer: ConfigLayer) -> None:
    """Put a version of the centre in force."""
    store = DesiredStore(state_dir)
    store.begin(layer, "scenes.north", "centre", boot_id(), CLOCK.boottime_ns() + 10**12)
    store.confirm(CLOCK.boottime_ns(), boot_id())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The configuration of a box whose masks the centre has drawn, and whose agent does not run."""
    path = tmp_path / "vigie.toml"
    path.write_text(POLE_CONFIG)
    keep(tmp_path / "state", ConfigLayer(version=6))
    keep(tmp_path / "state", MASKED)
    return path


def show_picture(path: Path) -> Plane:
    """The picture of the camera, as `camera north` and the page show it."""
    preview = make_context(path).open_preview("north")
    try:
        picture = preview.read(TIMEOUT_S)
    finally:
        preview.close()
    assert picture is not None
    return picture.luma


def show_reference(path: Path) -> Plane:
    """The picture of the camera in the newest certificate, which was made before the mask."""
    identity = DeviceIdentity.load_or_create(path.parent / "state" / IDENTITY_DIR)
    _, encoded = cv2.imencode(".png", np.full((90, 160), 200, np.uint8))
    png = encoded.tobytes()
    camera = CameraRecord(
        name="north",
        picture=sha256_hex(png),
        reason=None,
        width_px=160,
        height_px=90,
        focus=None,
        lean_deg=None,
        exposure="good",
        masks=0,
        scenes={},
        model=None,
        preset=None,
    )
    record = InstallationRecord(
        box="pole-17",
        site="x",
        created_time="2026-11-03T07:41:05Z",
        clock_synced=True,
        clock_source="ntp",
        technician="amina",
        public_key=base64.b64encode(identity.public_key_raw).decode(),
        version="1",
        config=sha256_hex(b""),
        cameras=(camera,),
        heads=(),
        connected=True,
        centre_listening=True,
        round_trip_ms=None,
        faults=(),
    )
    certificate.write_record(path.parent / "state", "one", record, {"north": png}, identity.sign)
    return read_reference(make_context(path), "north").plane


def make_context(path: Path) -> ConsoleContext:
    return ConsoleContext(console_settings.read(path), CLOCK, boot_id(), root=path.parent / "root")


def flip_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def put_older_back(file: Path) -> None:
    older = file.with_name(f"{file.name}.before").read_bytes()
    file.write_bytes(older)


PICTURES = pytest.mark.parametrize("show", [show_picture, show_reference])


@PICTURES
def test_a_picture_has_the_masks_of_the_centres_version(
    path: Path, show: Callable[[Path], Plane]
) -> None:
    assert np.all(show(path) == MASK_LUMA)


@PICTURES
@pytest.mark.parametrize("damage", [flip_bit, Path.unlink, put_older_back])
def test_no_picture_is_shown_while_the_centres_version_cannot_be_read(
    path: Path, show: Callable[[Path], Plane], damage: Callable[[Path], None]
) -> None:
    damage(layer_file(path.parent / "state"))
    with pytest.raises(
        ConsoleError, match="stays closed: the centre's configuration is damaged"
    ) as refused:
        show(path)
    assert refused.value.code == "MSK-01"
    (source,) = load_start_config(path, CLOCK, boot_id()).sources
    assert source.scene_error is not None, "the agent keeps it closed as well"


@PICTURES
def test_no_picture_is_shown_while_a_scene_cannot_be_loaded(
    path: Path, show: Callable[[Path], Plane]
) -> None:
    (scene,) = (path.parent / "state/desired/scenes").iterdir()
    scene.write_text("[[mask]]\n")
    with pytest.raises(ConsoleError, match="its mask cannot be loaded") as refused:
        show(path)
    assert refused.value.code == "MSK-01"
