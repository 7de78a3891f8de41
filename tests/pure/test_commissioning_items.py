"""agent.diagnostics.commissioning.items: a focus is judged by the best one that was seen."""

import pytest

from agent.diagnostics.commissioning.certificate import CameraRecord, InstallationRecord
from agent.diagnostics.commissioning.items import iter_items

SHA256 = "0" * 64


def record(focus: float | None) -> InstallationRecord:
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
