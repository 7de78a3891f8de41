"""The files of the page and of the scene editor, read once: no request opens a file."""

from pathlib import Path

import msgspec

PACKAGE_DIR = Path(__file__).parent
PAGE_DIR = PACKAGE_DIR / "page"
EDITOR_DIR = PACKAGE_DIR.parent / "scene_editor"
INDEX_NAME = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}


class PageFile(msgspec.Struct, frozen=True):
    """A file, and its media type."""

    content: bytes
    media_type: str


def load_files(folder: Path) -> dict[str, PageFile]:
    """Return the files of a folder by their paths below it. Those of other suffixes are left out."""
    return {
        path.relative_to(folder).as_posix(): PageFile(path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES and path.is_file()
    }
