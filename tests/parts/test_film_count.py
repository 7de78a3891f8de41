"""The answer to a count from the scene editor: its lines, and its end with the request."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from starlette.types import Message, Scope

from agent.detection.scene import decode_scene
from centre.film_editor import _CountResponse, count_lines

SCOPE: Scope = {"type": "http", "method": "POST", "headers": [], "asgi": {"spec_version": "2.3"}}


def test_a_request_that_ends_while_nobody_reads_ends_its_count() -> None:
    ended: list[bool] = []
    is_sending = asyncio.Event()

    async def lines() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"played 0.000\n"
        finally:
            ended.append(True)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            is_sending.set()
            await asyncio.Event().wait()

    async def receive() -> Message:
        await is_sending.wait()
        return {"type": "http.disconnect"}

    async def answer() -> list[bool]:
        await _CountResponse(lines())(SCOPE, receive, send)
        return [*ended]

    assert asyncio.run(answer()) == [True]


def test_a_film_that_cannot_be_counted_ends_with_the_reason(tmp_path: Path) -> None:
    film = tmp_path / "street.mp4"
    film.write_bytes(b"no film")
    scene = decode_scene({}, "scene")
    (line,) = count_lines(film, scene)
    assert line.startswith(b"error ")
    assert str(film).encode() in line
    assert line.count(b"\n") == 1
