"""agent.console.usb_export: a time range is exported to a USB disk in the technician's name, and verifies."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.clock import SystemClock
from agent.console import usb_export
from agent.console.errors import ConsoleError
from agent.recording.archive import FootageArchive
from agent.recording.custody.receipts import FootageExported, parse_line
from agent.recording.recorded_span import merge_segments
from tests.vectors.street import BOOT_UTC, StreetBox

CLOCK = SystemClock()


@pytest.fixture
def footage(tmp_path: Path) -> FootageArchive:
    StreetBox(tmp_path / "state", "casa-0001").record("north", 1, 14)
    return FootageArchive.from_state_dir(tmp_path / "state", CLOCK)


def exported(footage: FootageArchive, to: Path, begin_s: float, end_s: float) -> list[str]:
    span = ("north", *(BOOT_UTC + timedelta(seconds=s) for s in (begin_s, end_s)))
    return usb_export.export_footage(
        footage, span, "amina", "for the police", to, lambda _message: None
    )


def test_an_export_verifies_and_names_its_technician(
    footage: FootageArchive, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    reported = exported(footage, stick, 5, 11)
    assert str(reported[-1]) == "The disk may be unplugged now."
    (folder,) = stick.iterdir()
    assert folder.name == "vigie-north-20261125T010005Z"
    assert main(["footage", "verify", str(folder)]) == 0
    chain = (tmp_path / "state" / "custody" / "0000000001.chain").read_bytes().splitlines()
    body = parse_line(chain[-1]).receipt.body
    assert isinstance(body, FootageExported)
    assert (body.by, body.purpose) == ("amina", "for the police")


def test_a_second_export_of_the_same_time_range_has_its_own_folder(
    footage: FootageArchive, tmp_path: Path
) -> None:
    for _ in range(2):
        exported(footage, tmp_path, 5, 11)
    assert (tmp_path / "vigie-north-20261125T010005Z-2").is_dir()


def test_a_time_range_without_footage_is_reported(footage: FootageArchive, tmp_path: Path) -> None:
    with pytest.raises(ConsoleError):
        exported(footage, tmp_path, 500, 600)


def test_recorded_footage_is_listed(footage: FootageArchive) -> None:
    (span,) = merge_segments(footage.find_segments(None, None, None))
    assert (span.camera, span.sealed, span.clock_synced) == ("north", False, True)
    assert footage.list_holds() == ()
