"""Put the editor's page into one file: its modules, styles and texts, a picture and a scene. Pure but for the package's own files.

A browser does not load modules from a file next to a page that was opened from a disk, so they are put into one
program: each becomes a function in the order of its imports. The modules keep to the few forms of `import` and `export`
that are translated here, and an unknown form is an error, not a guess.
"""

import base64
import hashlib
import posixpath
import re
import string
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from agent.faults.texts import LANGUAGES

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.{1,2}/[^"]+)";\n', re.MULTILINE)
_EXPORTED = re.compile(
    r"^export (?=(?:async function|function\*?|class|const) (\w+))", re.MULTILINE
)
_EXPORT_LIST = re.compile(r"\bexport ?\{([^}]*)\};?\s*\Z")
_UNKNOWN_FORM = re.compile(r"^(?:import|export)\b.*|\bimport\(.*|</script.*", re.MULTILINE)

_SOURCES = "media-src blob:"
_SERVED_SOURCES = "media-src 'self' blob:; connect-src 'self'"


class EditorPicture(msgspec.Struct, frozen=True, kw_only=True):
    """The picture that the scene is drawn on. `name` is shown to people."""

    name: str
    jpeg: bytes
    width_px: int
    height_px: int


class SceneText(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a scene file, and the name under which the page saves it."""

    name: str
    text: str


class AssemblyError(Exception):
    """A module has a form of import or export that is not translated."""


def assemble_page(
    picture: EditorPicture | None = None,
    scene: SceneText | None = None,
    data: dict[str, Any] | None = None,
    *,
    is_served: bool = False,
) -> str:
    """Return the page, which loads nothing and sends nothing, or, if it is served, nothing but from and to its server.

    `data` is for the panels: `options.data`.
    """
    program, style = assemble_program(), read_source("page.css")
    content = {"picture": _picture_data(picture), "scene": scene, "data": data or {}}
    policy = (
        f"default-src 'none'; script-src '{hash_source(program)}'; style-src '{hash_source(style)}'; "
        f"img-src data: blob:; {_SERVED_SOURCES if is_served else _SOURCES}; base-uri 'none'; form-action 'none'"
    )
    return string.Template(read_source("page.html")).substitute(
        policy=policy,
        style=style,
        texts=json_block({name: load_texts(name) for name in LANGUAGES}),
        content=json_block(content),
        program=program,
    )


@cache
def assemble_program() -> str:
    """Return all modules of the page as one program. Raises: AssemblyError."""
    return link_modules("main.js", read_source)


def link_modules(entry: str, read: Callable[[str], str]) -> str:
    """Return a module and all that it imports as one program; `read` returns the source of a path.

    Raises: AssemblyError for a form of import or export that is not translated, and for a circle.
    """
    bodies: dict[str, str] = {}
    _add_module(entry, read, bodies, ())
    return "".join(bodies.values())


def read_source(name: str) -> str:
    """Return a file of this package."""
    return (resources.files("agent.scene_editor") / name).read_text(encoding="utf-8")


def load_texts(language: str) -> dict[str, str]:
    """Return the texts of the page in a language."""
    return msgspec.json.decode(read_source(f"texts/{language}.json"), type=dict[str, str])  # noqa: TID251 - the package's


def _add_module(
    path: str, read: Callable[[str], str], bodies: dict[str, str], importers: tuple[str, ...]
) -> None:
    if path in importers:
        raise AssemblyError(f"{path}: imports itself through {' > '.join(importers)}")
    if path in bodies:
        return
    source = read(path)
    imports = []
    for names, target in _IMPORT.findall(source):
        imported = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        _add_module(imported, read, bodies, (*importers, path))
        imports.append(f"const {{{_rename(names)}}} = {_identifier(imported)};\n")
    exports = [*_EXPORTED.findall(source)]
    for names in _EXPORT_LIST.findall(source):
        exports += [_rename(name, exporting=True) for name in names.split(",") if name.strip()]
    body = _EXPORT_LIST.sub("", _EXPORTED.sub("", _IMPORT.sub("", source)))
    if unknown := _UNKNOWN_FORM.search(body):
        raise AssemblyError(f"{path}: {unknown[0][:80]!r}: allowed: import and export by name")
    bodies[path] = (
        f"const {_identifier(path)} = (() => {{\n{''.join(imports)}{body}"
        f"return {{ {', '.join(exports)} }};\n}})();\n"
    )


def _rename(names: str, *, exporting: bool = False) -> str:
    """Return `a as b` as JavaScript's `a: b`; for an export, whose outer name comes second, as `b: a`."""
    pairs = [name.split(" as ") for name in names.split(",") if name.strip()]
    return ", ".join(
        ": ".join(part.strip() for part in (reversed(pair) if exporting else pair))
        for pair in pairs
    )


def _identifier(path: str) -> str:
    return "module_" + re.sub(r"\W", "_", path.removesuffix(".js"))


def hash_source(text: str) -> str:
    """Return the source of a script or a style for a policy (CSP): its digest."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def json_block(value: object) -> str:
    """Return JSON that no browser takes for the end of its block."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _picture_data(picture: EditorPicture | None) -> dict[str, Any] | None:
    if picture is None:
        return None
    return {
        "url": f"data:image/jpeg;base64,{base64.b64encode(picture.jpeg).decode()}",
        "name": picture.name,
        "width_px": picture.width_px,
        "height_px": picture.height_px,
    }
