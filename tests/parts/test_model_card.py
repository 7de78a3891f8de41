"""agent.detection.model_card: only the intended model is ever loaded."""

import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.model import LABELS
from agent.detection.model_card import (
    MODELS_FOLDER,
    ModelRefused,
    list_model_names,
    load_card,
    read_verified_model,
)


def _copy(name: str, to: Path) -> Path:
    for suffix in (".toml", ".tflite"):
        shutil.copy(MODELS_FOLDER / f"{name}{suffix}", to / f"{name}{suffix}")
    return to / f"{name}.toml"


@pytest.mark.parametrize("name", list_model_names())
def test_every_model_that_is_shipped_is_the_one_its_card_describes(name: str) -> None:
    card = load_card(name)
    assert len(read_verified_model(card)) > 1_000_000
    assert set(card.labels) == set(card.thresholds) == set(LABELS)
    assert all(0 < t.keep_track <= t.start_track <= t.show_still for t in card.thresholds.values())
    assert "Apache-2.0" in card.licence
    assert card.attribution


def test_an_unknown_model_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(
        UserError, match=r"'yolo'.*allowed: nanodet, nanodet_320, ssdlite_mobilenet_v2$"
    ):
        load_card("yolo")


def test_a_name_that_climbs_out_of_the_folder_is_unknown() -> None:
    with pytest.raises(UserError, match="unknown"):
        load_card("../models/nanodet")


def test_a_file_with_one_flipped_bit_is_refused(tmp_path: Path) -> None:
    _copy("nanodet", tmp_path)
    path = tmp_path / "nanodet.tflite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    card = load_card("nanodet", tmp_path)
    with pytest.raises(ModelRefused, match=r"^model 'nanodet': nanodet\.tflite has sha256 .*$"):
        read_verified_model(card, tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    _copy("nanodet", tmp_path)
    (tmp_path / "nanodet.tflite").unlink()
    with pytest.raises(ModelRefused, match="No such file"):
        read_verified_model(load_card("nanodet", tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('decoder = "nanodet"', 'decoder = "yolo"', "decoder"),
        ("width_px = 416", "width_px = 415", "width_px"),
        ("person = 0\n", "face = 0\n", "face"),
        ('name = "nanodet"', 'name = "other"', "is not the file's name"),
        ('colour = "rgb"', 'colour = "rgb"\nbits = 3', "unknown key"),
        ("car = { start", "# car = { start", "missing for car"),
        ("truck = 5", "truck = 4", "each of its own class number"),
        (
            "keep_track = 0.25",
            "keep_track = 0.45",
            r"person\.keep_track = 0\.45: allowed.* 0\.4 or",
        ),
    ],
)
def test_a_malformed_card_is_refused_with_the_position(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = _copy("nanodet", tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ModelRefused, match=message):
        load_card("nanodet", tmp_path)


LETTERBOX = msgspec.structs.replace(load_card("nanodet").input, resize="letterbox")
sizes = st.integers(2, 4000)


@given(sizes, sizes)
def test_a_letterboxed_picture_keeps_its_shape_fills_one_side_and_fits_as_it_is(
    width: int, height: int
) -> None:
    fitted_width, fitted_height = LETTERBOX.fitted_size_px(width, height)
    assert max(fitted_width, fitted_height) == 416
    assert fitted_width % 2 == fitted_height % 2 == 0
    assert fitted_width == pytest.approx(416 * min(1, width / height), abs=2)
    assert fitted_height == pytest.approx(416 * min(1, height / width), abs=2)
    assert LETTERBOX.fitted_size_px(fitted_width, fitted_height) == (fitted_width, fitted_height)
