"""agent.console.usb_export: a time range is exported to a USB disk in the technician's name, and verifies."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.clock import SystemClock
from agent.console import usb_export
from agent.console.errors import ConsoleError
from agent.recording.archive import FootageArchive
from agent.recording.custody.receipts import FootageExported, parse_line
from agent.recording.export.exporter import RESERVE_BYTES
from agent.recording.recorded_span import merge_segments
from tests.crash.disk import make_ext4, mounted, skip_unless_available
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


def test_an_export_that_does_not_fit_is_refused_before_it_begins(
    footage: FootageArchive, tmp_path: Path
) -> None:
    skip_unless_available()
    with mounted(make_ext4(tmp_path / "stick.img", 4 << 20), tmp_path / "stick") as stick:
        present = set(stick.iterdir())
        refused = r"the export needs 4\.\d MB, and \d\.\d MB are free on its disk; allowed: a shorter span"
        with pytest.raises(ConsoleError, match=refused):
            exported(footage, stick, 5, 11)
        out = stick / "out"
        words = ["--state", str(tmp_path / "state"), "--from", "2026-11-25T01:00:05Z"]
        words += ["--to", "2026-11-25T01:00:11Z", "--by", "Cmdt. Amrani", "--purpose", "3", "--out"]
        assert main(["footage", "export", "--camera", "north", *words, str(out)]) == 1
        assert set(stick.iterdir()) == present


def test_an_export_without_room_for_the_clip_as_well_goes_without_it_and_says_so(
    footage: FootageArchive, tmp_path: Path
) -> None:
    skip_unless_available()
    size = sum(segment.size_bytes for segment in footage.find_segments("north", None, None))
    with mounted(make_ext4(tmp_path / "stick.img", 16 << 20), tmp_path / "stick") as stick:
        filler_bytes = shutil.disk_usage(stick).free - RESERVE_BYTES - size * 3 // 2
        (stick / "films").write_bytes(bytes(filler_bytes))
        reported = "\n".join(str(line) for line in exported(footage, stick, 0, 14))
        assert re.search(r"no clip: it needs 4\.\d MB, and 4\.\d MB are free", reported)
        (folder,) = stick.glob("vigie-north-*")
        assert main(["footage", "verify", str(folder)]) == 0


def test_recorded_footage_is_listed(footage: FootageArchive) -> None:
    (span,) = merge_segments(footage.find_segments(None, None, None))
    assert (span.camera, span.sealed, span.clock_synced) == ("north", False, True)
    assert footage.list_holds() == ()
