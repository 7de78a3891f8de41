"""The lens and the views of a fisheye camera for the scene editor: read from a version, a box's file or a settings file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.config import toml_decode
from agent.config.fisheye import VIEW_DRIVER, LensConfig, ViewOptions
from agent.config.names import ALLOWED_NAME, NAME_PATTERN

_NEW_LENS = LensConfig(field_of_view_deg=180.0)


class NamedView(msgspec.Struct, frozen=True, kw_only=True):
    """A view, by its name as a camera."""

    name: str
    options: ViewOptions


class FisheyeViews(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the page's fisheye panel, which saves it as the file `name`.

    `known` are the names of all views that the box may have: those that the page deletes are taken away from it.
    """

    camera: str
    name: str
    lens: LensConfig
    views: tuple[NamedView, ...] = ()
    known: tuple[str, ...] = ()


def read_views(camera: str, path: Path) -> FisheyeViews:
    """Return the lens and the views of a camera, new ones if there is no such file. Raises: UserError in one line."""
    if not NAME_PATTERN.fullmatch(camera):
        raise UserError(f"--views {camera!r}: no name of a camera; allowed: {ALLOWED_NAME}")
    name = f"{camera}.views.toml"
    if not path.exists():
        return FisheyeViews(camera=camera, name=name, lens=_NEW_LENS)
    tables = toml_decode.read_toml(path, "views")
    cameras = _cameras_of(tables)
    lens = cameras.get(camera, {}).get("lens")
    if not isinstance(lens, dict):
        raise UserError(
            f"{path}: no lens of the camera {camera!r}; allowed: a version of a box's configuration, or its file, "
            "that has it"
        )
    views = tuple(
        NamedView(name=each, options=checked_convert.convert(options, ViewOptions, str(path), each))
        for each, table in cameras.items()
        if table.get("driver") == VIEW_DRIVER
        and isinstance(options := table.get("options"), dict)
        and options.get("camera") == camera
    )
    return FisheyeViews(
        camera=camera,
        name=name,
        lens=checked_convert.convert(lens, LensConfig, str(path), f"{camera}.lens"),
        views=views,
        known=(*(view.name for view in views), *_removed_views(tables)),
    )


def _cameras_of(tables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of cameras by name: a list in a box's file, a table in a version."""
    listed, settings = tables.get("camera"), tables.get("settings")
    pairs: list[tuple[Any, Any]] = []
    if isinstance(listed, list):
        pairs = [(each.get("name"), each) for each in listed if isinstance(each, dict)]
    elif isinstance(settings, dict) and isinstance(named := settings.get("camera"), dict):
        pairs = list(named.items())
    return {
        name: table
        for name, table in pairs
        if isinstance(name, str) and NAME_PATTERN.fullmatch(name) and isinstance(table, dict)
    }


def _removed_views(tables: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the views that a version takes away: they stay away."""
    unset = tables.get("unset")
    keys = (
        [key.split(".") for key in unset if isinstance(key, str)] if isinstance(unset, list) else []
    )
    return tuple(
        name
        for kind, name in (key for key in keys if len(key) == 2)  # noqa: PLR2004 - camera.NAME
        if kind == "camera" and NAME_PATTERN.fullmatch(name)
    )
