"""agent.ptz.preset_store: named positions, on the disk before they are listed."""

from pathlib import Path

import pytest

from agent.commands.requester import CommandRejected
from agent.ptz.preset_store import MAX_PRESETS, Preset, PresetStore
from drivers.contracts import Pose


def preset(name: str, number: int | None = None, pan_deg: float = 10.0) -> Preset:
    return Preset(
        name=name,
        pose=Pose(pan_deg=pan_deg, tilt_deg=-5.0),
        number=number,
        stored_time="2026-11-25T10:00:00Z",
        stored_by="anna",
    )


def test_a_stored_preset_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "heads" / "mast" / "presets.json"
    presets = PresetStore("mast", path)
    presets.save(preset("gate", 3))
    presets.save(preset("crossing"))
    presets.save(preset("gate", 3, pan_deg=20.0))
    presets.delete("crossing")
    assert PresetStore("mast", path).all() == (preset("gate", 3, pan_deg=20.0),)


def test_an_unknown_preset_is_rejected_with_the_known_names(tmp_path: Path) -> None:
    presets = PresetStore("mast", tmp_path / "presets.json")
    with pytest.raises(CommandRejected, match="it has: none yet"):
        presets.get("gate")
    presets.save(preset("crossing"))
    for ask in (presets.get, presets.delete):
        with pytest.raises(CommandRejected, match="no preset 'gate'; it has: crossing") as refused:
            ask("gate")
        assert refused.value.code == "unknown"


@pytest.mark.parametrize("name", ["", "Gate", "../gate", "a" * 64])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandRejected) as refused:
        PresetStore("mast", tmp_path / "presets.json").save(preset(name))
    assert refused.value.code == "malformed"


def test_a_preset_keeps_its_number_and_a_new_one_takes_the_smallest_free(tmp_path: Path) -> None:
    presets = PresetStore("mast", tmp_path / "presets.json")
    assert presets.free_number("gate", 2) == 1
    presets.save(preset("gate", 2))
    assert presets.free_number("gate", 2) == 2
    assert presets.free_number("crossing", 2) == 1
    presets.save(preset("crossing", 1))
    assert presets.free_number("yard", 2) is None
    assert presets.free_number("yard", 0) is None


def test_the_number_of_presets_is_bounded(tmp_path: Path) -> None:
    presets = PresetStore("mast", tmp_path / "presets.json")
    for number in range(MAX_PRESETS):
        presets.save(preset(f"p{number}"))
    presets.save(preset("p0", pan_deg=1.0))
    with pytest.raises(CommandRejected, match="delete one first"):
        presets.save(preset("one-more"))


def test_an_unreadable_state_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "presets.json"
    path.write_text('{"presets": [{"name": "gate"')
    assert PresetStore("mast", path).all() == ()
    assert (tmp_path / "presets.json.unreadable").exists()


def test_a_preset_that_could_not_be_stored_is_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "heads" / "presets.json"
    presets = PresetStore("mast", path)
    presets.save(preset("gate"))
    path.parent.rename(tmp_path / "away")
    (tmp_path / "heads").write_text("in the way")
    for change in (lambda: presets.save(preset("yard")), lambda: presets.delete("gate")):
        with pytest.raises(CommandRejected, match="cannot be saved") as refused:
            change()
        assert refused.value.code == "failed"
    assert presets.all() == (preset("gate"),)


def test_a_preset_of_the_centre_counts_instead_of_a_stored_one_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "presets.json"
    PresetStore("mast", path).save(preset("gate"))
    presets = PresetStore("mast", path, {"gate": preset("gate", pan_deg=40.0)})
    assert presets.get("gate").pose.pan_deg == 40
    assert [each.pose.pan_deg for each in presets.all()] == [40]
    assert presets.stored_poses() == {"gate": preset("gate").pose}
    stored: list[int] = []
    for change in (
        lambda: presets.save(preset("gate", 3), stored.append),
        lambda: presets.delete("gate"),
    ):
        with pytest.raises(CommandRejected, match="part of the centre's configuration") as refused:
            change()
        assert refused.value.code == "forbidden"
    assert stored == []
    presets.save(preset("crossing"))
    assert PresetStore("mast", path).get("gate").pose.pan_deg == 10
