"""agent.ptz.preset_position: masks are shown in their place only if the head is exactly at their preset,
and are enlarged by the allowed deviation.
"""

from pathlib import Path

import msgspec
import pytest

from agent.base.model import RefusalCode, ShiftTolerance
from agent.commands.requester import CommandRejected
from agent.config.heads import FieldOfView, HeadConfig
from agent.detection.active_scene import ActiveScene
from agent.detection.mask_cover import covers
from agent.detection.scene import PrivacyMask, Scene
from agent.ptz.preset_position import MAX_SHIFT_SHARE, REPEATABILITY_DEG, MaskedPresets, max_shift
from agent.ptz.requests import AbsoluteMove, ContinuousMove, GotoPreset
from drivers.contracts import Pose, PtzCapabilities, PtzPosition
from drivers.errors import DriverError
from drivers.masking import WHOLE_PICTURE
from drivers.media import Point
from simulation.ptz.fake import FakeHead
from tests.parts.head_rig import ANNA, HEAD_OPTIONS, PLAIN_CONFIG, HeadRig, ReckoningHead

FOV = FieldOfView(wide=63.7, tele=3.4)
MEASURED = msgspec.structs.replace(PLAIN_CONFIG, fov_deg=FOV)
DRAWN = {"gate": "gate.scene.toml", "road": "road.scene.toml"}
WINDOW = (Point(0.4, 0.4), Point(0.6, 0.4), Point(0.6, 0.6))
WIDE, TELE = (Pose(pan_deg=20, tilt_deg=0, zoom=zoom) for zoom in (0.0, 1.0))


class Street(HeadRig):
    """A head with two presets that scenes were drawn at, and what its camera hides. At `gate` there
    is a window to hide, at `road` there is not.
    """

    def __init__(
        self,
        folder: Path,
        config: HeadConfig = MEASURED,
        *,
        kind: type[FakeHead] = FakeHead,
        zoom_ratio: float = 10.0,
    ) -> None:
        body = msgspec.structs.replace(HEAD_OPTIONS, zoom_ratio=zoom_ratio)
        self._folder = folder
        self.viewpoint = ActiveScene(
            {"gate": Scene(mask=(PrivacyMask(polygon=WINDOW),)), "road": Scene()}, lambda: 0
        )
        super().__init__(folder, config, head_class=kind, head_options=body, masked_presets=DRAWN)

    def on_rest_change(
        self, preset: str | None, settled: bool, tolerance: ShiftTolerance | None
    ) -> None:
        self.viewpoint.update_position(preset, settled, tolerance)

    @property
    def hidden(self) -> bool:
        """Whether all of the picture is."""
        return self.viewpoint.masks(0) == WHOLE_PICTURE

    def at(self, pose: Pose) -> "Street":
        """Started, and sent to the preset `gate`, which is there."""
        self.start()
        self.store_preset("gate", pose)
        self.recall()
        return self

    def recall(self, preset: str = "gate") -> None:
        self.head.move(GotoPreset(preset=preset), ANNA)
        self.advance_s(8)

    def point(self, pose: Pose) -> None:
        self.head.move(
            AbsoluteMove(pan_deg=pose.pan_deg, tilt_deg=pose.tilt_deg, zoom=pose.zoom), ANNA
        )
        self.advance_s(8)

    def next_agent(self, kind: type[FakeHead]) -> "Street":
        """After a restart: another one at the same body."""
        again = Street(self._folder, kind=kind)
        again.clock.advance_s((self.clock.now_ns - again.clock.now_ns) / 1e9)
        again.opened_heads.append(self.opened_heads[-1])
        return again

    def push(self, **places: float) -> None:
        """Move the body a little off its target without an order."""
        state = self.opened_heads[-1].simulator.state_at(self.clock.now_ns)
        body = self.opened_heads[-1].simulator
        pose = msgspec.structs.replace(state.pose, **places)
        body.goto(self.clock.now_ns, pose, 1.0)
        self.advance_s(12)


def beside(pose: Pose, **by: float) -> Pose:
    return msgspec.structs.replace(
        pose, **{axis: getattr(pose, axis) + more for axis, more in by.items()}
    )


def refused(kind: RefusalCode, message: str) -> object:
    return pytest.raises(CommandRejected, match=message, check=lambda error: error.code == kind)


# Where the picture is uncovered


@pytest.mark.parametrize("pose", [WIDE, TELE])
def test_a_head_sent_to_a_preset_and_settled_is_at_it(tmp_path: Path, pose: Pose) -> None:
    street = Street(tmp_path).start()
    street.store_preset("gate", pose)
    assert street.hidden
    street.head.move(GotoPreset(preset="gate"), ANNA)
    while street.head.state().moving:
        assert street.hidden
        street.advance_s(0.1)
    assert street.hidden
    street.advance_s(MEASURED.settle_s + 0.1)
    assert not street.hidden
    assert street.viewpoint.current().preset == "gate"


@pytest.mark.parametrize("pose", [WIDE, TELE])
def test_a_manual_move_hides_everything_until_the_preset_is_recalled(
    tmp_path: Path, pose: Pose
) -> None:
    street = Street(tmp_path).at(pose)
    # Less than a degree; of a narrow picture it is a fifth.
    street.head.move(ContinuousMove(pan=0.06, for_s=0.15), ANNA)
    street.advance_s(8)
    assert 0.3 < street.pose.pan_deg - pose.pan_deg < 0.9
    assert street.hidden is (pose is TELE)
    street.recall()
    assert not street.hidden


@pytest.mark.parametrize(
    "off",
    [{"pan_deg": 0.95, "tilt_deg": 0.95}, {"pan_deg": 0.3}, {"tilt_deg": -0.3}, {"zoom": -0.045}],
)
def test_a_position_near_a_preset_is_not_the_preset(tmp_path: Path, off: dict[str, float]) -> None:
    street = Street(tmp_path).at(TELE)
    street.point(beside(TELE, **off))
    assert street.hidden
    assert street.head.state().preset is None


def test_a_recall_moves_a_head_that_is_only_near(tmp_path: Path) -> None:
    street = Street(tmp_path).at(TELE)
    street.point(beside(TELE, pan_deg=0.5))
    street.point(beside(TELE, pan_deg=0.24))
    assert street.hidden
    street.recall()
    assert street.pose.pan_deg == pytest.approx(TELE.pan_deg)
    assert not street.hidden
    orders = street.opened_heads[0].simulator.order_count
    street.recall()
    assert street.opened_heads[0].simulator.order_count == orders


def test_a_position_within_a_small_share_of_the_picture_is_the_preset(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path).at(WIDE)
    street.point(beside(WIDE, pan_deg=40))
    assert street.hidden
    street.point(beside(WIDE, pan_deg=0.9))
    assert not street.hidden
    street.point(beside(WIDE, pan_deg=-1.3))
    assert street.hidden


class Coarse(FakeHead):
    """It reports positions to a degree, and always the same one for a preset."""

    def read_position(self) -> PtzPosition:
        return msgspec.structs.replace(super().read_position(), error_deg=1.0)


def test_a_position_error_counts_after_a_manual_move(tmp_path: Path) -> None:
    street = Street(tmp_path, kind=Coarse).at(WIDE)
    assert not street.hidden
    street.point(beside(WIDE, pan_deg=40))
    street.point(beside(WIDE, pan_deg=0.26))
    assert street.hidden
    street.recall()
    assert not street.hidden


def test_a_moving_head_is_at_no_preset() -> None:
    presets = MaskedPresets("mast", DRAWN, FOV)
    still = PtzPosition(pose=WIDE, error_deg=0.0, moving=False, t_ns=0)
    moving = msgspec.structs.replace(still, moving=True)
    assert presets.is_at(WIDE, still, abilities(), "unmoved")
    assert not presets.is_at(WIDE, moving, abilities(), "unmoved")
    assert not presets.is_at(WIDE, None, abilities(), "unmoved")


def test_a_manual_move_away_and_back_is_not_at_the_preset(tmp_path: Path) -> None:
    street = Street(tmp_path, kind=Coarse).at(TELE)
    for pan in (0.1, -0.1):
        street.head.move(ContinuousMove(pan=pan, for_s=0.3), ANNA)
        street.advance_s(8)
    assert street.pose.pan_deg == pytest.approx(TELE.pan_deg, abs=REPEATABILITY_DEG / 2)
    assert street.hidden


def test_a_head_at_rest_next_to_its_target_preset_is_not_at_it(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path).at(TELE)
    street.push(pan_deg=TELE.pan_deg + 0.9 * REPEATABILITY_DEG)
    assert not street.hidden
    street.push(pan_deg=TELE.pan_deg + 1.5 * REPEATABILITY_DEG)
    assert street.hidden
    street.push(pan_deg=TELE.pan_deg)
    assert not street.hidden
    street.push(zoom=0.98)
    assert street.hidden


@pytest.mark.parametrize(("off_deg", "is_hidden"), [(0.08, False), (0.15, True)])
def test_without_a_field_of_view_a_tenth_of_a_degree_is_allowed(
    tmp_path: Path, off_deg: float, is_hidden: bool
) -> None:
    street = Street(tmp_path, PLAIN_CONFIG).at(WIDE)
    assert not street.hidden
    street.point(beside(WIDE, pan_deg=40))
    street.point(beside(WIDE, pan_deg=off_deg))
    assert street.hidden is is_hidden
    street.recall()
    assert not street.hidden


# Day and night


@pytest.mark.parametrize("kind", [FakeHead, Coarse])
@pytest.mark.parametrize("pose", [WIDE, TELE])
def test_a_head_at_rest_at_its_preset_is_at_it_after_a_restart(
    tmp_path: Path, pose: Pose, kind: type[FakeHead]
) -> None:
    first = Street(tmp_path, kind=kind).at(pose)
    first.advance_s(60)
    assert not first.hidden
    first.stage.close()
    again = first.next_agent(kind)
    assert again.hidden
    again.advance_s(4)
    assert not again.hidden
    assert again.pose == first.pose


@pytest.mark.raises_fault("PTZ-03")
def test_a_head_is_at_its_preset_again_after_a_silence(tmp_path: Path) -> None:
    street = Street(tmp_path, kind=Coarse).at(TELE)
    body = street.opened_heads[0].simulator
    body.inject_fault(
        street.clock.now_ns, msgspec.structs.replace(body.injected_fault, silent=True)
    )
    street.advance_s(15)
    assert street.hidden
    body.inject_fault(
        street.clock.now_ns, msgspec.structs.replace(body.injected_fault, silent=False)
    )
    street.advance_s(6)
    assert not street.hidden


@pytest.mark.raises_fault("PTZ-01")
def test_a_head_is_at_its_preset_after_a_line_cut_unless_it_was_moved(tmp_path: Path) -> None:
    street = Street(tmp_path, kind=Coarse).at(TELE)

    def cut() -> None:
        street.opened_heads[-1].unplug()
        street.open_error = DriverError("absent", "unplugged")
        street.advance_s(12)
        assert street.hidden
        street.open_error = None
        street.advance_s(12)

    cut()
    assert not street.hidden
    street.point(beside(TELE, pan_deg=0.5))
    street.point(beside(TELE, pan_deg=0.1))
    cut()
    assert street.hidden


def test_a_head_near_its_home_preset_still_returns_home(tmp_path: Path) -> None:
    config = msgspec.structs.replace(MEASURED, home="gate", home_after_s=60)
    street = Street(tmp_path, config).at(TELE)
    street.point(beside(TELE, pan_deg=0.5))
    assert street.hidden
    street.advance_s(70)
    assert not street.hidden


# Heads that reckon


class Remembering(ReckoningHead):
    """A head that reckons, and well enough to be near: `lost` has no idea where it is."""

    error_deg = 0.5


def test_a_dead_reckoned_head_is_at_a_preset_only_by_its_own_memory(tmp_path: Path) -> None:
    street = Street(tmp_path, kind=Remembering).start()
    street.point(WIDE)
    street.head.set_preset("gate", ANNA)
    street.advance_s(3)
    # The lens's zoom position was not measured.
    assert street.hidden
    street.recall()
    assert not street.hidden
    street.head.move(ContinuousMove(pan=0.06, for_s=0.2), ANNA)
    street.advance_s(8)
    assert street.hidden
    street.recall()
    assert not street.hidden


@pytest.mark.raises_fault("PTZ-01")
@pytest.mark.parametrize("found_by", ["a look", "a word"])
def test_a_reopened_dead_reckoned_head_is_at_no_preset_until_it_is_sent(
    tmp_path: Path, found_by: str
) -> None:
    street = Street(tmp_path, kind=Remembering).start()
    street.head.set_preset("gate", ANNA)
    street.recall()
    assert not street.hidden
    street.opened_heads[-1].unplug()
    if found_by == "a word":
        with refused("unavailable", "is closed"):
            street.head.set_aux("wiper", True, ANNA)
    street.advance_s(15)
    assert len(street.opened_heads) == 2
    assert street.hidden
    street.recall()
    assert not street.hidden


def test_a_dead_reckoned_head_without_zoom_is_at_a_preset_within_its_error(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path, kind=Remembering, zoom_ratio=1.0).at(WIDE)
    street.point(beside(WIDE, pan_deg=40))
    assert street.hidden
    street.point(WIDE)
    assert not street.hidden


# What a mask is painted larger by


def abilities(**keys: object) -> PtzCapabilities:
    return msgspec.structs.replace(FakeHead("mast", HEAD_OPTIONS, lambda: 0).capabilities, **keys)


@pytest.mark.parametrize("zoom", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("tilt_deg", [0.0, -40.0, 60.0])
def test_the_allowed_deviation_uncovers_no_masked_place(zoom: float, tilt_deg: float) -> None:
    drawn = Pose(pan_deg=170, tilt_deg=tilt_deg, zoom=zoom)
    presets, able = MaskedPresets("mast", DRAWN, FOV), abilities()
    leeway = presets.shift_tolerance(drawn, able)
    allowed = 0
    for pan in range(-15, 16):
        for tilt in (-12, -5, -1, 0, 1, 5, 12):
            for deeper in (-0.02, -0.004, 0.0, 0.004, 0.01):
                now = beside(
                    drawn, pan_deg=pan / 10, tilt_deg=tilt / 10, zoom=min(deeper, 1 - zoom)
                )
                if now.zoom < 0:
                    continue
                position = PtzPosition(pose=now, error_deg=0.0, moving=False, t_ns=0)
                if not presets.is_at(drawn, position, able, "unmoved"):
                    continue
                allowed += 1
                shift = max_shift(FOV, drawn, now, 0.0, 0.0, able)
                assert shift.x <= leeway.x + 1e-9
                assert shift.y <= leeway.y + 1e-9
    assert allowed > 10


def test_the_tolerance_is_small_for_wide_and_limited_by_gears_for_narrow_pictures() -> None:
    presets, able = MaskedPresets("mast", DRAWN, FOV), abilities()
    wide, tele = presets.shift_tolerance(WIDE, able), presets.shift_tolerance(TELE, able)
    assert wide == ShiftTolerance(x=MAX_SHIFT_SHARE, y=MAX_SHIFT_SHARE * FOV.aspect)
    assert tele.x == pytest.approx(REPEATABILITY_DEG / 3.4, abs=0.01)
    # The zoom position of a dead-reckoned head is unknown.
    assert presets.shift_tolerance(WIDE, abilities(absolute=False)) == presets.shift_tolerance(
        TELE, able
    )
    unmeasured = MaskedPresets("mast", DRAWN, None)
    assert unmeasured.shift_tolerance(WIDE, able).x == pytest.approx(MAX_SHIFT_SHARE, abs=0.001)
    assert unmeasured.shift_tolerance(TELE, able).x > REPEATABILITY_DEG / 5


def test_masks_are_enlarged_at_the_preset(tmp_path: Path) -> None:
    street = Street(tmp_path).at(WIDE)
    (mask,) = street.viewpoint.masks(0)
    assert min(corner.x for corner in mask) == pytest.approx(0.4 - MAX_SHIFT_SHARE)
    assert max(corner.y for corner in mask) == pytest.approx(0.6 + MAX_SHIFT_SHARE * FOV.aspect)
    assert Point(0.4, 0.4) not in mask


# A preset keeps its place


def test_a_preset_with_masks_cannot_be_set_elsewhere(tmp_path: Path) -> None:
    street = Street(tmp_path).at(WIDE)
    street.point(Pose(pan_deg=100, tilt_deg=30))
    before = street.head.presets()
    with refused("forbidden", "scene 'gate.scene.toml' was drawn at preset 'gate'"):
        street.head.set_preset("gate", ANNA)
    with refused("forbidden", "scene 'gate.scene.toml'"):
        street.head.delete_preset("gate")
    street.advance_s(2)
    assert street.head.presets() == before
    assert street.hidden


def test_a_scenes_preset_without_masks_cannot_be_moved_if_others_have_masks(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path).start()
    street.store_preset("road", WIDE)
    street.point(Pose(pan_deg=100, tilt_deg=30))
    with refused("forbidden", "scene 'road.scene.toml' was drawn at preset 'road'"):
        street.head.set_preset("road", ANNA)


def test_setting_a_preset_in_place_does_not_drift(tmp_path: Path) -> None:
    street = Street(tmp_path).at(WIDE)
    street.point(beside(WIDE, pan_deg=0.8))
    street.head.set_preset("gate", ANNA)
    assert street.head.presets()[0].pose == WIDE


def test_a_new_preset_and_unmasked_ones_can_be_set(tmp_path: Path) -> None:
    street = Street(tmp_path).start()
    street.point(WIDE)
    street.head.set_preset("gate", ANNA)
    street.head.set_preset("yard", ANNA)
    street.point(Pose(pan_deg=100, tilt_deg=30))
    street.head.set_preset("yard", ANNA)
    street.head.delete_preset("yard")
    assert [preset.pose for preset in street.head.presets()] == [WIDE]


class Refusing(ReckoningHead):
    """A head with a memory of its own that may be out of order."""

    broken = False

    def store_preset(self, number: int) -> None:
        if self.broken:
            raise DriverError("timeout", "no answer")
        super().store_preset(number)


def test_a_preset_rejected_by_the_head_changes_nothing(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, head_class=Refusing).start()
    rig.head.set_preset("yard", ANNA)
    before = rig.head.presets()
    rig.head.move(AbsoluteMove(pan_deg=50, tilt_deg=0), ANNA)
    rig.advance_s(8)
    rig.opened_heads[0].broken = True  # type: ignore[attr-defined]
    for name in ("yard", "corner"):
        with refused("unavailable", "no answer"):
            rig.head.set_preset(name, ANNA)
    assert rig.head.presets() == before
    rig.advance_s(1)
    assert rig.head.state().preset is None


def test_an_invalid_preset_name_is_rejected_before_the_head_is_called(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, head_class=ReckoningHead).start()
    with refused("malformed", "preset 'The Yard'"):
        rig.head.set_preset("The Yard", ANNA)
    assert rig.opened_heads[0].simulator.preset_numbers == set()


def test_a_disk_error_after_the_head_stored_the_preset_is_reported(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, head_class=ReckoningHead).start()
    (tmp_path / "presets.json").mkdir()
    with refused("failed", "cannot be saved: .*; the head itself has this position as its 1 now"):
        rig.head.set_preset("yard", ANNA)
    assert rig.head.presets() == ()


# Other scenes while the head rests


def test_the_first_masks_of_a_resting_head_hide_everything_for_a_moment_and_then_their_place(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path).at(WIDE)
    street.viewpoint.replace_scenes({"gate": Scene()})
    street.head.replace_masked_scenes({})
    assert street.viewpoint.masks(0) == ()
    masked = Scene(mask=(PrivacyMask(polygon=WINDOW),))
    street.viewpoint.replace_scenes({"gate": masked})
    assert street.hidden
    street.head.replace_masked_scenes({"gate": "new.toml"})
    assert not street.hidden
    assert covers(street.viewpoint.masks(0), [WINDOW])
    assert street.viewpoint.current().scene == masked
    with refused("forbidden", "was drawn at preset 'gate'"):
        street.head.delete_preset("gate")
