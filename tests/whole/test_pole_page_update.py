"""An update at the page at the pole: a phone shows the outcome of the request that was made there, however late root takes it."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from agent.base.message import Message
from agent.update import request_file
from agent.update.request_service import ProgressWriter
from tests.whole.pole_page_box import PolePageBox, make_root
from tests.whole.pole_phone import PolePhone
from tests.whole.rig import AgentBox

pytestmark = pytest.mark.slow

UPDATE = "[aria-label=Update]"
MINUTE_PASSES = """
    const now = performance.now.bind(performance);
    performance.now = () => now() + 61_000;
"""


class Root:
    """Root's unit, which takes a request when a test wants it, and ends it when a test wants it."""

    def __init__(self, system: Path) -> None:
        self._folder = request_file.request_dir(system)
        self._folder.mkdir(parents=True)

    def take(self) -> ProgressWriter:
        return ProgressWriter(
            self._folder, request_file.take_request(self._folder, (os.geteuid(),))
        )

    def run_another(self, outcome: str) -> None:
        """Execute a request of another person."""
        request_file.submit_request(self._folder, "rollback", "karim")
        self.take().finish([Message("{line}", line=outcome)])

    @property
    def is_asked(self) -> bool:
        return (self._folder / request_file.REQUEST_FILE).exists()


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The root of a system with slots."""
    (tmp_path / "root/proc").mkdir(parents=True)
    (tmp_path / "root/proc/cmdline").write_text("console=tty1 rauc.slot=A\n")
    return make_root(tmp_path / "root")


@pytest.fixture
def root(system: Path) -> Root:
    """Root, whose last request was one of another person."""
    root = Root(system)
    root.run_another("version 1.4 is in slot A")
    return root


@pytest.fixture
def phone(system: Path, root: Root, tmp_path: Path) -> Iterator[PolePhone]:
    """A phone at the view of the box, whose agent does not run."""
    assert root
    with (
        closing(PolePageBox(make_box(tmp_path / "box"), system)) as page,
        closing(PolePhone(tmp_path / "profile")) as phone,
    ):
        page.turn_on()
        phone.open(page.link())
        phone.wait_for_text("casa-0001", ".top")
        phone.show_view("Box")
        phone.wait_for_text("Last request: rollback · karim · done", UPDATE)
        yield phone


def make_box(folder: Path) -> Path:
    """Return the folder of a box whose agent has never run."""
    box = AgentBox(folder, "mqtt://127.0.0.1:1", detect_fps=1)
    (box.folder / "state").mkdir()
    return box.folder


def keep_version(phone: PolePhone, root: Root) -> None:
    """Touch `Keep this version`, and wait until root is asked for it."""
    phone.type_into(phone.select_all(f"{UPDATE} input[type=text]")[0], "casa-0001")
    phone.tap("Keep this version")
    phone.wait(lambda: root.is_asked, "request")


def wait_for_polls(phone: PolePhone) -> None:
    """Wait until the page has read the state of the last request, and has shown it."""

    def polls() -> int:
        return sum(url.endswith("/api/acts/update_status") for url in phone.requested())

    before = polls()
    phone.wait(lambda: polls() >= before + 3, "three requests of the state")


def test_the_outcome_of_ones_own_request_is_shown_and_never_that_of_another(
    phone: PolePhone, root: Root
) -> None:
    keep_version(phone, root)
    text = phone.wait_for_text("mark_good · amina · waiting", UPDATE)
    assert "version 1.4" not in text
    assert not phone.select_all(f"{UPDATE} button")[0].is_enabled()
    progress = root.take()
    phone.wait_for_text("mark_good · amina · running", UPDATE)
    root.run_another("version 1.5 is in slot B")
    wait_for_polls(phone)
    text = phone.text(UPDATE)
    assert "version 1.5" not in text
    assert "karim" not in text
    progress.fail(Message("the disk is full"))
    text = phone.wait_for_text("mark_good · amina · NOT done", UPDATE)
    assert "disk is full" in text
    phone.find("Keep this version")


def test_a_request_that_waits_is_followed_after_the_page_was_loaded_again(
    phone: PolePhone, root: Root
) -> None:
    keep_version(phone, root)
    phone.driver.refresh()
    text = phone.wait_for_text("Last request: mark_good · amina · waiting", UPDATE)
    assert "version 1.4" not in text
    progress = root.take()
    phone.wait_for_text("Last request: mark_good · amina · running", UPDATE)
    progress.finish([Message("slot A is good")])
    text = phone.wait_for_text("Last request: mark_good · amina · done", UPDATE)
    assert "slot A is good" in text


def test_a_request_that_root_does_not_take_is_named_after_a_minute(
    phone: PolePhone, root: Root
) -> None:
    keep_version(phone, root)
    phone.wait_for_text("mark_good · amina · waiting", UPDATE)
    phone.run(MINUTE_PASSES)
    phone.wait_for_text("No answer within 60 s: vigie-update-request does not run", UPDATE)
    phone.find("Keep this version")
