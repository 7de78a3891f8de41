"""Add a section to docs/heads.md for each PTZ driver that it lacks: `python -m scripts.driver_sections`.

It has what the driver's file says: its docstring with an example, and its options. Sentences may be added; the script keeps
a section that is there.
"""

import inspect
from pathlib import Path

import msgspec

from drivers.catalog import driver_names, load_ptz_driver
from drivers.serial_port import SerialSettings
from scripts.field_docstrings import read_field_docstrings

PAGE_FILE = Path(__file__).parents[1] / "docs" / "heads.md"


def add_sections(page: str) -> str:
    """Return the page with a section for each driver."""
    missing = [name for name in driver_names("ptz") if f"\n## `{name}`: " not in page]
    return page + "".join(map(_section, missing))


def _section(driver: str) -> str:
    module = load_ptz_driver(driver)
    title, _, text = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    sentences = read_field_docstrings(module.Options)
    rows = "".join(
        f"| `{field.name}` | {_default(field)} | {sentences.get(field.name, '')} |\n"
        for field in msgspec.structs.fields(module.Options)
        if field.name not in SerialSettings.__struct_fields__
    )
    return f"\n## `{driver}`: {title.rstrip('.')}\n\n{text}\n\n| Option | Default | |\n|---|---|---|\n{rows}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default in (msgspec.NODEFAULT, None):
        return ""
    return f"`{msgspec.json.encode(field.default).decode()}`"


if __name__ == "__main__":
    PAGE_FILE.write_text(add_sections(PAGE_FILE.read_text(encoding="utf-8")), encoding="utf-8")
