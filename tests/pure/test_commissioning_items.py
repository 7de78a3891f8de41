"""agent.diagnostics.commissioning.items: a focus is judged by the best one that was seen, a ground by its view."""

import msgspec
import pytest

from agent.base.health_model import AreaDensity, GroundHealth
from agent.base.message import Message
from agent.base.view_condition import ViewState
from agent.diagnostics.commissioning.certificate import CameraRecord, InstallationRecord
from agent.diagnostics.commissioning.items import iter_answers, iter_items

SHA256 = "0" * 64


def record(
    focus: float | None,
    ground: GroundHealth | None = None,
    view: ViewState = "good",
    sharpness: float | None = None,
) -> InstallationRecord:
    camera = CameraRecord(
        name="north",
        picture=SHA256,
        reason=None,
        width_px=480,
        height_px=270,
        focus=focus,
        lean_deg=None,
        exposure="good",
        masks=0,
        scenes={},
        model=None,
        preset=None,
        ground=ground,
        view=view,
        sharpness=sharpness,
    )
    return InstallationRecord(
        box="casa-0001",
        site="A street",
        created_time="2026-11-25T00:00:00Z",
        clock_synced=True,
        clock_source="ntp",
        technician="amina",
        public_key="",
        version="1",
        config=SHA256,
        cameras=(camera,),
        heads=(),
        connected=True,
        centre_listening=True,
        round_trip_ms=None,
        faults=(),
    )


@pytest.mark.parametrize(
    ("focus", "percent", "finding", "good"),
    [
        (44.0, None, "44 of about 70", None),
        (None, 100, "no detail to focus on", None),
        (39.5, 84, "84 % of the best seen; allowed: 85 % or more", False),
        (39.6, 85, "85 % of the best seen; allowed: 85 % or more", True),
        (50.0, 113, "113 % of the best seen; allowed: 85 % or more", True),
    ],
)
def test_a_focus_is_judged_by_the_best_seen_or_left_to_the_technician(
    focus: float | None, percent: int | None, finding: str, good: bool | None
) -> None:
    percents = {} if percent is None else {"north": percent}
    (item,) = [item for item, _ in iter_items(record(focus), percents) if item.item == "focus"]
    assert (item.finding, item.good) == (finding, good)


@pytest.mark.parametrize(
    ("sharpness", "finding", "good"),
    [
        (0.42, "blurred: sharpness 0.42; allowed: 0.57 or more", False),
        (0.71, "44 of about 70", None),
        (None, "44 of about 70", None),
    ],
)
def test_a_blurred_picture_is_rejected_though_it_is_the_best_that_was_seen(
    sharpness: float | None, finding: str, good: bool | None
) -> None:
    blurred = record(44.0, sharpness=sharpness)
    percents = {"north": 100} if good is False else {}
    (item,) = [item for item, _ in iter_items(blurred, percents) if item.item == "focus"]
    assert (item.finding, item.good) == (finding, good)


@pytest.mark.parametrize(
    ("view", "finding", "good"),
    [
        (
            "dark",
            "the picture is dark: the lens is covered, or there is no light at all",
            False,
        ),
        ("blocked", "the view is covered", False),
        ("low_light", "exposure good", None),
        ("good", "exposure good", None),
    ],
)
def test_a_covered_camera_is_rejected_and_its_light_is_for_the_technician(
    view: ViewState, finding: str, good: bool | None
) -> None:
    covered = record(None, view=view)
    (item,) = [item for item, _ in iter_items(covered, {}) if item.item == "aim"]
    assert (item.finding, item.good) == (finding, good)


WEAK = AreaDensity(kind="line", name="street", px_per_m=22.0, needed_px_per_m={"car": 30})


@pytest.mark.parametrize(
    ("ground", "finding", "good"),
    [
        (
            GroundHealth(error_m=0.31, moved=None, low_density=()),
            "error 0.31 m, at marks left out in turn",
            None,
        ),
        (
            GroundHealth(error_m=None, moved=None, low_density=(WEAK,)),
            (
                "the error is not known: too few marks to leave one out; "
                "line 'street': 22.0 pixels per metre; needed: 30 for car"
            ),
            None,
        ),
        (
            GroundHealth(error_m=0.31, moved="the camera was moved", low_density=(WEAK,)),
            "stale: the camera was moved",
            False,
        ),
    ],
)
def test_a_ground_whose_view_has_moved_is_rejected_any_other_is_for_the_technician(
    ground: GroundHealth, finding: str, good: bool | None
) -> None:
    (item,) = [item for item, _ in iter_items(record(30.0, ground), {}) if item.item == "ground"]
    assert (item.finding, item.good) == (finding, good)
    assert str(item.title) == "ground of north"


def test_without_a_calibration_there_is_no_such_item() -> None:
    assert "ground" not in [item.item for item, _ in iter_items(record(30.0), {})]


def test_the_findings_of_a_record_become_messages_again_and_those_of_another_version_stay_text() -> (
    None
):
    inspected = record(39.5, GroundHealth(error_m=0.42, moved=None, low_density=()))
    items = [item for item, _ in iter_items(inspected, {"north": 84})]
    other = msgspec.structs.replace(items[0], finding="in the words of version 9")
    answers = (other, *items[1:])
    found = list(iter_answers(msgspec.structs.replace(inspected, answers=answers)))
    assert [(answer, str(finding)) for answer, finding in found] == [
        (answer, answer.finding) for answer in answers
    ]
    assert [isinstance(finding, Message) for _, finding in found] == [False] + [True] * len(
        items[1:]
    )
