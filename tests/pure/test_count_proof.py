"""agent.base.count_proof: a proof holds for one model, one scene and one aim, and only in the lights that it has."""

from typing import Any

import msgspec
import pytest

from agent.base import checked_convert
from agent.base.count_proof import (
    CountingConditions,
    CountProof,
    ProofGap,
    UnvalidatedCounts,
    ValidatedCounts,
    count_validation,
    find_gap,
)
from agent.base.errors import UserError
from agent.config import toml_decode
from agent.config.desired_config import (
    DesiredContent,
    changed_cameras,
    content_digest,
    iter_refused_keys,
)
from agent.detection.scene import Scene, decode_scene, scene_digest
from centre.config_text import difference
from tests.count_proofs import MODEL_SHA256, SCENE_SHA256, count_proof, light_proof

CONDITIONS = CountingConditions(
    model_sha256=MODEL_SHA256, scene_sha256=SCENE_SHA256, detect_fps=10.0, has_moved=False
)


@pytest.mark.parametrize(
    ("changed", "gap"),
    [
        ({}, None),
        ({"detect_fps": 25.0}, None),
        ({"model_sha256": "cc" * 32}, "model"),
        ({"model_sha256": None}, "model"),
        ({"scene_sha256": "cc" * 32}, "scene"),
        ({"scene_sha256": None}, "scene"),
        ({"has_moved": True}, "aim"),
        ({"detect_fps": 9.97}, None),
        ({"detect_fps": 9.4}, "frame_rate"),
        ({"detect_fps": 5.0}, "frame_rate"),
    ],
)
def test_a_proof_falls_with_the_model_the_scene_the_aim_and_the_frame_rate(
    changed: dict[str, Any], gap: ProofGap | None
) -> None:
    assert find_gap(count_proof(), msgspec.structs.replace(CONDITIONS, **changed)) == gap


def test_without_a_proof_counts_are_not_validated() -> None:
    assert find_gap(None, CONDITIONS) == "no_proof"
    assert count_validation(None, "no_proof", "day") == UnvalidatedCounts(
        light="day", reason="no_proof"
    )


def test_counts_have_the_error_of_their_light_and_another_light_is_not_validated() -> None:
    proof = count_proof(light_proof("day", clips=7))
    found = count_validation(proof, None, "day")
    assert isinstance(found, ValidatedCounts)
    assert (found.f1, found.f1_low, found.f1_high) == (0.956, 0.896, 0.982)
    assert (found.clips, found.crossings, found.unverifiable_share) == (7, 89, 0.114)
    assert count_validation(proof, None, "night") == UnvalidatedCounts(
        light="night", reason="light"
    )
    assert count_validation(proof, "aim", "day") == UnvalidatedCounts(light="day", reason="aim")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lights": []}, "proofs.north.lights: allowed: 1 or more items"),
        ({"model_sha256": "0"}, "model_sha256 = '0': allowed: 64 hexadecimal digits, lower case"),
        ({"by": "a\nb"}, "allowed: one line of 1 to 80 characters"),
        ({"unverifiable_share": 2}, "unverifiable_share = 2: allowed: at most 1"),
        ({"time": "today"}, "time = 'today': allowed: a time in UTC"),
        ({"f2": 1}, "proofs.north.f2: unknown key"),
    ],
)
def test_a_mistake_in_a_proof_is_one_line(changed: dict[str, Any], message: str) -> None:
    tables = msgspec.to_builtins(count_proof()) | changed
    with pytest.raises(UserError, match=r"^version: ") as raised:
        checked_convert.convert({"proofs": {"north": tables}}, DesiredContent, "version")
    assert message in str(raised.value)


def test_a_proof_has_each_light_once_and_an_f1_in_its_interval() -> None:
    with pytest.raises(ValueError, match="each light once"):
        count_proof(light_proof("day"), light_proof("day"))
    with pytest.raises(ValueError, match="not from f1_low to f1_high"):
        light_proof("day", f1=0.5)


LINE = '[[line]]\nname = "stop"\nfrom = [0.1, 0.6]\nto = [0.9, 0.6]\n'


def scene_of(text: str) -> Scene:
    return decode_scene(toml_decode.parse_toml(text, "scene"), "scene")


def test_the_digest_of_a_scene_is_of_what_it_says() -> None:
    digest = scene_digest(scene_of(LINE))
    reordered = '# drawn in May\n[[line]]\nto = [0.9, 0.6]\nfrom = [0.1, 0.6]\nname = "stop"\n'
    assert scene_digest(scene_of(reordered)) == digest
    assert scene_digest(scene_of(LINE + "events = false\n")) == digest
    assert scene_digest(scene_of(LINE.replace("0.9", "0.8"))) != digest
    assert (
        scene_digest(scene_of(LINE + "[[mask]]\npolygon = [[0, 0], [0.5, 0], [0.5, 1]]\n"))
        != digest
    )


def test_a_direction_of_zero_degrees_is_not_the_same_as_none() -> None:
    zone = '[[zone]]\nname = "lane"\nkind = "carriageway"\npolygon = [[0, 0], [0.5, 0], [0.5, 1]]\n'
    assert scene_digest(scene_of(zone)) != scene_digest(scene_of(zone + "direction_deg = 0\n"))


def test_a_proof_is_of_a_camera_that_exists_and_is_listed_with_the_keys_of_a_version() -> None:
    content = DesiredContent(proofs={"north": count_proof(), "south": count_proof()})
    assert list(iter_refused_keys({"camera": [{"name": "north"}]}, content)) == [
        "proofs.south: no such camera; there are: north"
    ]
    assert content.keys() == ("proofs.north", "proofs.south")


def test_a_version_that_changes_a_proof_changes_its_camera_and_its_digest() -> None:
    old = DesiredContent(proofs={"north": count_proof()})
    new = DesiredContent(proofs={"north": count_proof(by="jonas")})
    assert changed_cameras(old, new, {}) == ("north",)
    assert content_digest(old) != content_digest(new)
    assert difference(old, DesiredContent())[0] == ["- proofs.north = day F1 95.6%, by amina"]


def test_a_proof_is_read_back_as_it_was_signed() -> None:
    proof = count_proof(light_proof("day"), light_proof("night", f1=0.903))
    assert msgspec.json.decode(msgspec.json.encode(proof), type=CountProof) == proof
