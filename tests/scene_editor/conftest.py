"""One browser for the tests of the page."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.__main__ import main
from centre.scene_page import write_scene_page

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from tests.scene_editor.browser import EditorPage
from tests.scene_editor.head_folder import write_head_folder
from tests.scene_editor.replay_files import ReplayFiles, write_replay

PICTURE_PX = (640, 360)
STREET_SCENE = Path(__file__).parents[2] / "centre" / "demo" / "scenes" / "street.toml"


def write_picture(
    path: Path, width_px: int = PICTURE_PX[0], height_px: int = PICTURE_PX[1]
) -> Path:
    """A grey ramp as a picture."""
    ramp = np.linspace(60, 200, width_px).astype(np.uint8)
    cv2.imwrite(str(path), np.tile(ramp, (height_px, 1)))
    return path


@pytest.fixture(scope="session")
def empty_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with a picture and a new scene."""
    folder = tmp_path_factory.mktemp("empty")
    return write_scene_page(write_picture(folder / "street.jpg"), None)


@pytest.fixture(scope="session")
def street_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the scene of the demo."""
    folder = tmp_path_factory.mktemp("street")
    return write_scene_page(write_picture(folder / "street.jpg"), STREET_SCENE)


@pytest.fixture(scope="session")
def browser(empty_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditorPage]:
    page = EditorPage(empty_page, tmp_path_factory.mktemp("browser"))
    yield page
    page.close()


@pytest.fixture
def editor(browser: EditorPage) -> Iterator[EditorPage]:
    """The page with an empty scene. Nothing may be logged or requested, whatever a test does."""
    browser.open()
    browser.console_messages()
    browser.foreign_requests()
    yield browser
    assert browser.console_messages() == []
    assert browser.foreign_requests() == []


@pytest.fixture(scope="session")
def head_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a head, with the page that `vigie scene edit` writes into it."""
    folder = write_head_folder(tmp_path_factory.mktemp("head") / "mast")
    assert main(["scene", "edit", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def head_page(head_folder: Path) -> Path:
    return head_folder / "presets.scene.html"


@pytest.fixture(scope="session")
def replay_files(tmp_path_factory: pytest.TempPathFactory) -> ReplayFiles:
    """A film with its events and tracks."""
    return write_replay(tmp_path_factory.mktemp("replay"))
