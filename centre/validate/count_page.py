"""The page on which a person counts a film: its HTML, and the routes to the film and to the count."""

import mimetypes
import string
from importlib import resources
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.json_decode import decode_unique_json
from agent.detection.scene import Scene, SceneLine
from agent.faults.texts import LANGUAGES, Language
from agent.pole_page.request_body import read_body
from agent.pole_page.request_guard import ApiError
from agent.scene_editor.assemble import hash_source, json_block, link_modules
from agent.scene_editor.assemble import load_texts as load_editor_texts
from agent.scene_editor.assemble import read_source as read_editor_source
from centre.validate.crossing_truth import MAX_TRUTH_BYTES
from centre.validate.manual_count import CountConflict, CountedFilm, CountFile, SavedCount

_FOLDER = "count/"
"""Of the page's own modules; all others are those of the scene editor."""
_JSON = "application/json"
_FILM_TYPE = "video/mp4"


def assemble_page() -> str:
    """Return the page, which loads nothing but from its server, and sends nothing but to it."""
    program = link_modules(f"{_FOLDER}main.js", _read_module)
    style = read_editor_source("page.css") + _read_source("page.css")
    policy = (
        f"default-src 'none'; script-src '{hash_source(program)}'; style-src '{hash_source(style)}'; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
    return string.Template(_read_source("page.html")).substitute(
        policy=policy,
        style=style,
        texts=json_block({language: load_texts(language) for language in LANGUAGES}),
        program=program,
    )


def load_texts(language: Language) -> dict[str, str]:
    """Return the texts of the page in a language: those of the scene editor, and its own."""
    own = msgspec.json.decode(_read_source(f"texts/{language}.json"), type=dict[str, str])  # noqa: TID251 - the package's
    return load_editor_texts(language) | own


class CountRoutes:
    """The routes below the page: `film` is the file itself, by byte ranges; `count` is read and saved."""

    def __init__(self, film: CountedFilm, scene: Scene, line: SceneLine, count: CountFile) -> None:
        self._film = film
        self._scene = scene
        self._line = line
        self._count = count
        self.routes = (
            Route("/film", self._get_film),
            Route("/count", self._get_count),
            Route("/count", self._save_count, methods=["POST"]),
        )

    async def _get_film(self, _request: Request) -> Response:
        media_type = mimetypes.guess_type(self._film.path.name)[0] or _FILM_TYPE
        return FileResponse(self._film.path, media_type=media_type)

    async def _get_count(self, _request: Request) -> Response:
        truth, film = self._count.truth, self._film
        return _json_response(
            {
                "film": {
                    "name": film.path.name,
                    "duration_s": truth.duration_s,
                    "fps": film.fps,
                    "width_px": film.width_px,
                    "height_px": film.height_px,
                },
                "line": self._line,
                "lines": [line for line in self._scene.line if line is not self._line],
                "masks": self._scene.masks,
                "by": truth.by or "",
                "saved": {
                    "revision": self._count.revision,
                    "counted": truth.duration_s if truth.counted_s is None else truth.counted_s,
                    "crossings": truth.crossings,
                },
            }
        )

    async def _save_count(self, request: Request) -> Response:
        """Save a count. Its bytes are durable before the response."""
        document = decode_unique_json(await read_body(request, _JSON, MAX_TRUTH_BYTES))
        if checked_convert.is_too_deep(document):
            raise ApiError(400, "refused", "count: tables in tables; allowed: fewer levels")
        try:
            self._count.save(checked_convert.convert(document, SavedCount, "count"))
        except CountConflict as error:
            raise ApiError(409, "conflict", str(error)) from error
        except UserError as error:
            raise ApiError(400, "refused", str(error)) from error
        return _json_response({"revision": self._count.revision})


def _json_response(value: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(value), media_type=_JSON)


def _read_module(name: str) -> str:
    if name.startswith(_FOLDER):
        return _read_source(name.removeprefix(_FOLDER))
    return read_editor_source(name)


def _read_source(name: str) -> str:
    return (resources.files("centre.validate") / "page" / name).read_text(encoding="utf-8")
