"""The pictures of the pages: each exists, is shown, is described in words, and is small."""

import re
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SHOWN = [
    pytest.param(page.parent / target, " ".join(text.split()), id=f"{page.name}: {target}")
    for page in PAGES
    for text, target in re.findall(
        r"!\[([^\]]*)\]\(([^)]+)\)", CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    )
]
FILES = sorted(path for kind in ("jpg", "png", "svg", "webp") for path in DOCS.rglob(f"*.{kind}"))
MAX_BYTES = 200_000
MAX_WIDTH_PX = 1200
MIN_WORDS = 6


@pytest.mark.parametrize(("path", "text"), SHOWN)
def test_each_shown_picture_exists_and_its_text_describes_it(path: Path, text: str) -> None:
    assert path.is_file()
    assert len(text.split()) >= MIN_WORDS


def test_each_picture_is_shown_on_a_page() -> None:
    shown = {param.values[0].resolve() for param in SHOWN}  # type: ignore[union-attr]
    assert set(FILES) == shown


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_picture_is_small(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES
    if path.suffix == ".svg":
        assert not re.search(r"@font-face|@import|href=", path.read_text(encoding="utf-8"))
        return
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape[1] <= MAX_WIDTH_PX


@pytest.mark.parametrize(("path", "text"), SHOWN)
def test_a_translated_page_describes_its_pictures_as_fully(path: Path, text: str) -> None:
    """An older description is short: it counts fewer lines and zones than the picture has."""
    of_picture = [len(str(param.values[1])) for param in SHOWN if param.values[0] == path]
    assert len(text) > 0.4 * max(of_picture)
