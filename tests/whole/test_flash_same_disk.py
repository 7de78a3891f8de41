"""`vigie flash` writes only to the disk that was checked and confirmed, and to none that replaced it."""

import os
import pty
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.errors import UserError
from agent.base.progress import ProgressCallback as Progress
from agent.health.vitals.procfs import ProcFs
from centre.flash import flasher
from centre.flash.flasher import FlashRequest
from centre.flash.safety_checks import NOT_REMOVABLE_FLAG, SMALL_FLAG
from tests.whole import flash_image
from tests.whole.flash_image import MIB, SETTINGS
from tests.whole.loop_device import attach_anew, loop_device

Captured = pytest.CaptureFixture[str]
SIZE = 64 * MIB
OVERRIDE = (NOT_REMOVABLE_FLAG, SMALL_FLAG)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    flash_image.skip_without_tools()
    flash_image.make_image(tmp_path / "vigie.raw")
    (tmp_path / "casa-0001.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def holes(path: Path, size_bytes: int = SIZE) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


@pytest.fixture
def device(bench: Path) -> Iterator[Path]:
    """A disk of 64 MB, which is a file of the name medium."""
    with loop_device(holes(bench / "medium")) as found:
        yield found


def bar(_what: str) -> nullcontext[Progress]:
    return nullcontext(lambda _done, _total: None)


def flash_after(target: Path, meanwhile: Callable[[], object]) -> str:
    """Return the message if something happens between the check of a target and its opening."""
    request = FlashRequest(
        settings=Path("casa-0001.toml"),
        image=Path("vigie.raw"),
        target=target,
        override_flags=frozenset(OVERRIDE),
    )
    planned = flasher.plan_flash(request, bar, ProcFs())
    meanwhile()
    with pytest.raises(UserError) as refused:
        flasher.flash(planned, bar, ProcFs())
    return str(refused.value)


def replaced(card: Path) -> None:
    holes(card.with_name("other")).replace(card)


def larger(card: Path) -> None:
    holes(card, 2 * SIZE)


def a_link(card: Path) -> None:
    card.unlink()
    card.symlink_to(holes(card.with_name("other")))


def a_pipe(card: Path) -> None:
    card.unlink()
    os.mkfifo(card)


@pytest.mark.parametrize("meanwhile", [replaced, larger, a_link, a_pipe])
def test_another_file_of_that_name_is_left_unchanged(
    bench: Path, meanwhile: Callable[[Path], None]
) -> None:
    card = holes(bench / "card.raw")
    card.chmod(0o644)
    message = flash_after(card, lambda: meanwhile(card))
    assert message == f"{card}: is no longer the file that was checked; nothing was written"
    assert not card.stat().st_blocks
    assert card.stat().st_mode & 0o777 == 0o644


def test_a_file_created_meanwhile_is_left_unchanged(bench: Path) -> None:
    card = bench / "card.raw"
    message = flash_after(card, lambda: holes(card))
    assert message == f"{card}: is no longer the file that was checked; nothing was written"
    assert not card.stat().st_blocks


def test_a_deleted_file_is_not_recreated(bench: Path) -> None:
    card = holes(bench / "card.raw")
    message = flash_after(card, card.unlink)
    assert message == f"{card}: No such file or directory; nothing was written"
    assert not card.exists()


def test_another_disk_of_that_name_and_size_is_left_unchanged(bench: Path, device: Path) -> None:
    """As when a reader is plugged out and in again with another card."""

    message = flash_after(device, lambda: attach_anew(device, bench / "medium"))
    assert message.startswith(f"{device} (")
    assert message.endswith("is no longer the disk that was checked; nothing was written")
    assert not (bench / "medium").stat().st_blocks


def test_another_device_at_that_path_is_left_unchanged(bench: Path, device: Path) -> None:
    path = bench / "the card"
    path.symlink_to(device)

    def a_file() -> None:
        path.unlink()
        holes(path)

    assert "is no longer the disk that was checked; nothing was written" in flash_after(
        path, a_file
    )
    assert not path.stat().st_blocks


@pytest.mark.parametrize(
    ("typed", "code"), [(b"\x04", 2), (b"\n", 2), (b"no\n", 2), (b"yes\n", 0), (b" YES\n", 0)]
)
def test_only_the_right_answer_confirms_the_flash(
    bench: Path,
    device: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    typed: bytes,
    code: int,
) -> None:
    """Ctrl-D, which is 4, is no as well."""
    ours, theirs = pty.openpty()
    with open(theirs, encoding="utf-8") as terminal, open(ours, "wb", buffering=0) as keyboard:  # noqa: PTH123 - handles
        keyboard.write(typed)
        monkeypatch.setattr("sys.stdin", terminal)
        words = ["flash", "--settings", "casa-0001.toml", *OVERRIDE, "vigie.raw", str(device)]
        assert main(words) == code
    reported = capsys.readouterr()
    assert "Type yes to write to it: " in reported.out
    if code:
        assert reported.err == f"vigie: {device}: nothing was written; allowed: yes\n"
        assert not (bench / "medium").stat().st_blocks
