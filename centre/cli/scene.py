"""`vigie scene edit PICTURE|FILM [SCENE]`: opens the scene editor on a picture of a camera, or on a film."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from agent.base.errors import UserError
from centre import film_editor
from centre.cli.browser import open_in_browser
from centre.count.film_list import SUFFIXES
from centre.film_player import header_warnings, read_header
from centre.fisheye_views import FisheyeViews, read_views
from centre.preset_page import write_preset_page
from centre.scene_page import read_or_new_scene, write_scene_page
from drivers.local_wire import printable_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "The scene editor is a page in one file, which loads nothing and sends nothing. That of a film is served on this "
        "machine alone until Ctrl-C, and counts the film again with the scene as it is drawn. "
        "Example: vigie scene edit snapshot.jpg scene.toml"
    )
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    edit = subcommands.add_parser("edit", help="open the editor on a picture or a film")
    edit.add_argument(
        "picture",
        metavar="PICTURE",
        type=Path,
        help="a JPEG, PNG or WebP of the camera, or a film of it; or of a camera on a head, a folder of its presets",
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
    """Write the page, and open it in a browser if there is one; or serve that of a film until Ctrl-C."""
    if args.picture.suffix.lower() in SUFFIXES:
        return _edit_film(args.picture, args.scene, args.views)
    path = _write(args.picture, args.scene, args.views)
    print(f"{path}: {open_in_browser(path.resolve().as_uri())}")
    return 0


def _edit_film(film: Path, scene: Path | None, views: str | None) -> int:
    if views is not None:
        raise UserError("--views: allowed: with a picture; a film has no lens")
    text, header = read_or_new_scene(scene, film), read_header(film)
    for warning in header_warnings(film, header):
        print(printable_line(f"warning: {warning}"), file=sys.stderr)

    def announce(address: str) -> None:
        line = f"{film}: {address} {open_in_browser(address)}; Ctrl-C ends it"
        print(printable_line(line), flush=True)

    with suppress(KeyboardInterrupt):
        film_editor.edit_film(film, header, text, announce)
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
