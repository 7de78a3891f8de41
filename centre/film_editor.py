"""The scene editor for a film: a page on loopback, from which the film is counted again with the scene as it is drawn."""

import asyncio
import mimetypes
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from pathlib import Path

import msgspec
import simplejpeg
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from agent.base.errors import UserError
from agent.config.configuration import DetectConfig
from agent.config.toml_decode import MAX_FILE_BYTES, parse_toml
from agent.detection.image import crop_rgb, full_region
from agent.detection.model_card import ModelRefused
from agent.detection.scene import Scene, decode_scene
from agent.pole_page.request_body import read_body
from agent.pole_page.request_guard import ApiError
from agent.scene_editor.assemble import EditorPicture, SceneText, assemble_page
from centre.film_messages import FilmMessages
from centre.film_player import FilmHeader, FilmPlayer, to_s, track_records
from centre.loopback_page import serve_page
from centre.scene_page import JPEG_QUALITY
from centre.sharp_still import find_sharpest
from drivers.errors import DriverError
from drivers.media import NS_PER_S

_PROGRESS_STEP_S = 1.0
"""Of the film, between two lines that say how much is counted."""


class ServedFilm(msgspec.Struct, frozen=True, kw_only=True):
    """`options.data.film` of the page. Addresses are relative to the page's own; `duration_s` is 0 if it is not known."""

    name: str
    duration_s: float
    still_s: float
    url: str = "film"
    count: str = "count"


def edit_film(
    film: Path, header: FilmHeader, scene: SceneText, on_ready: Callable[[str], None]
) -> None:
    """Serve the editor on the film's sharpest picture until the process is interrupted. `on_ready` gets its address.

    Raises: KeyboardInterrupt at the end; DriverError if the film cannot be opened; UserError if no picture of it can be decoded.
    """
    still = find_sharpest(film, header)
    region = full_region(still.frame)
    rgb = crop_rgb(still.frame, region, (region.w, region.h))
    page = assemble_page(
        EditorPicture(
            name=film.name,
            jpeg=bytes(simplejpeg.encode_jpeg(rgb, quality=JPEG_QUALITY)),
            width_px=region.w,
            height_px=region.h,
        ),
        scene,
        {
            "film": ServedFilm(
                name=film.name,
                duration_s=header.duration_s,
                still_s=to_s(round(still.t_s * NS_PER_S)),
            )
        },
        is_served=True,
    )
    serve_page(page, _FilmRoutes(film).routes, on_ready)


class _CountResponse(StreamingResponse):
    """Ends the count with its request, also while the browser does not read."""

    body_iterator: AsyncGenerator[bytes]

    async def stream_response(self, send: Send) -> None:
        """Send the lines."""
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


class _FilmRoutes:
    """The film, and its counts, one at a time."""

    def __init__(self, film: Path) -> None:
        self._film = film
        self._is_counting = asyncio.Lock()
        self.routes = (
            Route("/film", self._get_film),
            Route("/count", self._count, methods=["POST"]),
        )

    async def _get_film(self, _request: Request) -> Response:
        return FileResponse(self._film, media_type=mimetypes.guess_type(self._film)[0])

    async def _count(self, request: Request) -> Response:
        text = await read_body(request, "application/toml", MAX_FILE_BYTES)
        try:
            scene = decode_scene(parse_toml(text, "scene"), "scene")
        except UserError as error:
            raise ApiError(400, "scene", str(error)) from error
        return _CountResponse(self._stream(scene), media_type="text/plain; charset=utf-8")

    async def _stream(self, scene: Scene) -> AsyncGenerator[bytes]:
        """Yield a count. A page that has ended its request ends the count with the picture that is searched."""
        async with self._is_counting:
            with closing(count_lines(self._film, scene)) as pieces:
                async for piece in iterate_in_threadpool(pieces):
                    yield piece


def count_lines(film: Path, scene: Scene) -> Generator[bytes]:
    """Yield the lines of a count, some at once: each begins with the word for its kind.

    | Word | Rest |
    |---|---|
    | `event` | a message, as in the events of `vigie replay`; each line has its crossings |
    | `track` | a record, as in the tracks of `vigie replay` |
    | `played` | seconds of the film that are counted |
    | `whole` | the last line of a count that is whole |
    | `error` | the last line of one that is not: the reason |
    """
    try:
        yield from _count_film(film, _with_all_crossings(scene))
    except (UserError, DriverError, ModelRefused) as error:
        yield b"error %s\n" % str(error).encode(errors="replace")


def _count_film(film: Path, scene: Scene) -> Iterator[bytes]:
    messages = FilmMessages(film.name)
    with FilmPlayer(film, scene, DetectConfig().model, messages.new_id) as player:
        next_s = 0.0
        for played in player.play():
            lines = [b"event " + messages.encode_event(event) for event in played.events]
            lines += [b"event " + messages.encode_traffic(minute) for minute in played.minutes]
            lines += [
                b"track " + msgspec.json.encode(record)
                for record in track_records(played.result, player.rule_engine)
            ]
            t_s = to_s(played.result.t_ns)
            if t_s >= next_s:
                lines.append(b"played %.3f" % t_s)
                next_s = t_s + _PROGRESS_STEP_S
            if lines:
                yield b"\n".join(lines) + b"\n"
        end = player.flush()
        lines = [b"event " + messages.encode_event(event) for event in end.events]
        lines += [b"event " + messages.encode_traffic(minute) for minute in end.minutes]
        yield b"\n".join([*lines, b"whole\n"])


def _with_all_crossings(scene: Scene) -> Scene:
    """Return the scene with an event for each crossing, which a box sends only of lines that ask for it."""
    lines = tuple(msgspec.structs.replace(line, events=True) for line in scene.line)
    return msgspec.structs.replace(scene, line=lines)
