"""The pages of the documentation, the code blocks on them, and their sections about drivers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.catalog import (
    DriverFolder,
    driver_names,
    load_camera_driver,
    load_gpio_driver,
    load_ptz_driver,
)

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
CODE_BLOCK = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHOWN_COMMAND = re.compile(r"\s*(?:\$ )?(?:sudo )?(?:\S*bin/)?((?:vigie|make|cp) .*)$")
"""A command line of a code block that begins with one of these programs."""


def read_page(name: str) -> str:
    """Return the text of a page below docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def code_blocks(text: str, info: str) -> list[str]:
    """Return the code blocks whose fence has exactly this info string, such as `toml` or `json ptz`."""
    return [block for found, block in CODE_BLOCK.findall(text) if found.strip() == info]


def driver_sections(page: str) -> dict[str, str]:
    """Return the sections of a page that are about one driver each, by its name."""
    return dict(
        re.findall(r"^## `(\w+)`: .*?\n(.*?)(?=^## |\Z)", read_page(page), re.MULTILINE | re.DOTALL)
    )


_LOADERS: dict[str, tuple[DriverFolder, Callable[[str], Any]]] = {
    "cameras.md": ("camera", load_camera_driver),
    "heads.md": ("ptz", load_ptz_driver),
    "pins.md": ("gpio", load_gpio_driver),
}
DRIVERS = [(page, driver) for page, (kind, _) in _LOADERS.items() for driver in driver_names(kind)]
"""Each driver, with the page that has a section about it."""


def load_driver(page: str, driver: str) -> Any:
    """Return the module of a driver."""
    return _LOADERS[page][1](driver)
