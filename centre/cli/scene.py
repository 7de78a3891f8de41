"""`vigie scene edit PICTURE [SCENE]`: opens the scene editor on a picture of a camera."""

import argparse
import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from agent.base.errors import UserError
from centre.fisheye_views import FisheyeViews, read_views
from centre.preset_page import write_preset_page
from centre.scene_page import write_scene_page

_GRAPHICAL = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
"""With none of these a Linux machine has at most a browser of text, which would take over the terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "The scene editor is a page in one file, which loads nothing and sends nothing. "
        "Example: vigie scene edit snapshot.jpg scene.toml"
    )
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    edit = subcommands.add_parser("edit", help="open the editor on a picture")
    edit.add_argument(
        "picture",
        metavar="PICTURE",
        type=Path,
        help="a JPEG or PNG of the camera; or of a camera on a head, a folder of its presets",
    )
    edit.add_argument(
        "scene", metavar="SCENE", type=Path, nargs="?", help="the scene file; without it a new one"
    )
    edit.add_argument(
        "--views",
        metavar="CAMERA=FILE",
        help="of a fisheye camera: the version, or the box's file, with its lens and its views; a file that is missing is a new one",
    )
    edit.set_defaults(run=_edit)


def _edit(args: argparse.Namespace) -> int:
    """Write the page, and open it in a browser if there is one."""
    path = _write(args.picture, args.scene, args.views)
    is_opened = _has_browser(os.environ) and webbrowser.open(path.resolve().as_uri())
    print(f"{path}: {'opened in the browser' if is_opened else 'open it in a browser'}")
    return 0


def _write(picture: Path, scene: Path | None, views: str | None) -> Path:
    if not picture.is_dir():
        return write_scene_page(picture, scene, _read_views(views))
    if views is not None:
        raise UserError("--views: allowed: with a picture; a fisheye camera is on no head")
    if scene is not None:
        raise UserError(
            f"{scene}: allowed: no scene with a folder, which has the scene of each preset"
        )
    return write_preset_page(picture)


def _read_views(word: str | None) -> FisheyeViews | None:
    if word is None:
        return None
    camera, _, file = word.partition("=")
    if not file:
        raise UserError(f"--views {word!r}: allowed: CAMERA=FILE")
    return read_views(camera, Path(file))


def _has_browser(environ: Mapping[str, str]) -> bool:
    return sys.platform in {"darwin", "win32"} or any(environ.get(name) for name in _GRAPHICAL)
