"""Acts as HTTP responses: each request of a phone is one call of the act server, which the console runs."""

import asyncio
import json
import logging
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agent.base.json_decode import JsonDecoder, MalformedJson, decode_any_json
from agent.console.act_wire import LIST_ACTS, ActKind, ActKinds, ReceivedReply, call_act
from agent.faults.texts import Language
from agent.pole_page.request_guard import ApiError

log = logging.getLogger(__name__)

MAX_ACTS, MAX_URGENT_ACTS = 8, 4
"""At once, of all phones. One more is refused, and not queued: its phone asks again. Urgent ones have their own places."""
MIN_UPLOAD_BYTES_PER_S = 1600
UPLOAD_SLACK_S = 10.0
UPLOAD_STALL_S = 30.0
"""The longest silence of an upload, which holds the lane of its act: a phone that leaves the network closes nothing. TCP sends
again 12.6 and 25.4 s after a loss, so one that is away for 20 s is waited for.
"""
LIST_TIMEOUT_S = 30.0
FILE_CHUNK_BYTES = 65_536
_NO_ARGS = b"{}"
_KINDS_DECODER: JsonDecoder[ActKinds] = JsonDecoder(ActKinds)
_UNSAFE_PATTERN = re.compile(r"[^A-Za-z0-9._-]")


class _HeldResponse(StreamingResponse):
    """A response whose act runs, or whose file is open, until it is sent or its phone has gone."""

    def __init__(
        self, release: Callable[[], None], content: AsyncIterator[bytes], **options: Any
    ) -> None:
        super().__init__(content, **options)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and release what it holds."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


class ActCalls:
    """Calls acts in threads. `folder` has the act server's socket, `language` that of a request that names none."""

    def __init__(self, folder: Path, language: Language) -> None:
        self._folder = folder
        self._language = language
        self._kinds: ActKinds | None = None
        self._kinds_lock = asyncio.Lock()
        self._running: Counter[bool] = Counter()
        # The calls, and as many pumps of uploads.
        self._limiter = CapacityLimiter(2 * MAX_ACTS + MAX_URGENT_ACTS)

    def is_urgent(self, name: str) -> bool:
        """Return True if an act is known to be urgent: before the first act none is."""
        return self._kinds is not None and name in self._kinds and self._kinds[name].is_urgent

    async def kind(self, name: str) -> ActKind:
        """Return the kind of an act, which the act server declares. Raises ApiError if there is none."""
        async with self._kinds_lock:
            if self._kinds is None:
                self._kinds = await self._read_kinds()
        try:
            return self._kinds[name]
        except KeyError as error:
            raise ApiError(404, "unknown", "no such act") from error

    async def _read_kinds(self) -> ActKinds:
        """Read the kinds of all acts, once: the console starts one act server for a page."""
        replies = call_act(self._folder, LIST_ACTS, _NO_ARGS, self._language, LIST_TIMEOUT_S)
        try:
            return _KINDS_DECODER.decode((await self._next(replies)).value)
        except MalformedJson as error:
            log.warning("the act server declares no acts: %s", error)
            raise _no_act_server() from error

    async def respond(
        self,
        request: Request,
        name: str,
        args: bytes,
        language: Language | None,
        upload_bytes: int = 0,
        on_received: Callable[[], None] = lambda: None,
    ) -> Response:
        """Call an act, and return its response. Raises ApiError.

        The body of the request is its upload, if that has bytes; `on_received` is called for each part of it.
        """
        kind = await self.kind(name)
        self._count(kind)
        response: Response | None = None
        try:
            call = partial(
                call_act, self._folder, name, args, language or self._language, kind.timeout_s
            )
            if upload_bytes:
                replies, reply = await self._call_with_upload(
                    call, request, upload_bytes, on_received
                )
            else:
                replies = call()
                reply = await self._next(replies)
            if reply.error is not None:
                return _json(msgspec.json.encode({"error": reply.error}), 409)
            response = self._respond(kind, replies, reply)
            return response
        finally:
            if not isinstance(response, _HeldResponse):
                self._release(kind)

    async def value(self, name: str, language: Language | None) -> object:
        """Return the value of an act without arguments. Raises ApiError."""
        kind = await self.kind(name)
        self._count(kind)
        try:
            replies = call_act(
                self._folder, name, _NO_ARGS, language or self._language, kind.timeout_s
            )
            reply = await self._next(replies)
        finally:
            self._release(kind)
        if reply.error is not None:
            raise ApiError(409, reply.error.code, reply.error.message)
        return decode_any_json(reply.value)

    def _respond(
        self, kind: ActKind, replies: Iterator[ReceivedReply], reply: ReceivedReply
    ) -> Response:
        value = reply.value
        if kind.reply == "picture":
            return Response(
                reply.jpeg,
                headers={"Vigie-Reading": escape_json(value)},
                media_type="image/jpeg",
            )
        if kind.reply == "lines":
            return _HeldResponse(
                partial(self._release, kind),
                self._lines(replies, value),
                media_type="application/x-ndjson",
            )
        if kind.reply == "file" and reply.fd is not None:
            name = _UNSAFE_PATTERN.sub("_", str(decode_any_json(value)["name"]))
            file = os.fdopen(reply.fd, "rb")
            return _HeldResponse(
                partial(self._release, kind, file),
                _chunks(file),
                media_type="application/octet-stream",
                headers={
                    "Content-Disposition": f'attachment; filename="{name}"',
                    "Content-Length": str(os.fstat(reply.fd).st_size),
                    "Vigie-Reading": escape_json(value),
                },
            )
        return _json(value)

    async def _lines(self, replies: Iterator[ReceivedReply], first: bytes) -> AsyncIterator[bytes]:
        try:
            yield first + b"\n"
            async for reply in iterate_in_threadpool(replies):
                if reply.error is not None:
                    yield msgspec.json.encode({"error": reply.error}) + b"\n"
                    return
                yield reply.value + b"\n"
        except OSError:
            error = {"code": "acts", "message": "the act server gave no answer"}
            yield msgspec.json.encode({"error": error}) + b"\n"

    def _count(self, kind: ActKind) -> None:
        """Count an act that begins. Raises ApiError if it is one too many."""
        limit = MAX_URGENT_ACTS if kind.is_urgent else MAX_ACTS
        if self._running[kind.is_urgent] >= limit:
            raise ApiError(429, "too_many", f"{limit} acts run already", 1.0)
        self._running[kind.is_urgent] += 1

    def _release(self, kind: ActKind, file: BinaryIO | None = None) -> None:
        self._running[kind.is_urgent] -= 1
        if file is not None:
            file.close()

    async def _next(self, replies: Iterator[ReceivedReply]) -> ReceivedReply:
        """Return the next reply. Raises ApiError if there is none."""
        try:
            reply = await to_thread.run_sync(
                next, replies, None, limiter=self._limiter, abandon_on_cancel=True
            )
        except TimeoutError as error:
            raise ApiError(504, "timeout", "the act took too long") from error
        except OSError as error:
            log.warning("the act server gave no answer: %s", error)
            raise _no_act_server() from error
        if reply is None:
            raise _no_act_server()
        return reply

    async def _call_with_upload(
        self,
        call: "partial[Iterator[ReceivedReply]]",
        request: Request,
        upload_bytes: int,
        on_received: Callable[[], None],
    ) -> tuple[Iterator[ReceivedReply], ReceivedReply]:
        """Call an act with a pipe that its upload is written into, and return its first reply."""
        read_fd, write_fd = os.pipe()
        replies = call(upload_fd=read_fd, upload_bytes=upload_bytes)
        pump = asyncio.create_task(self._pump(request, write_fd, on_received))
        try:
            reply = await self._next(replies)
        finally:
            # The act has its own descriptor of this end: a pump that still writes gets EPIPE.
            os.close(read_fd)
            await asyncio.wait((pump,), timeout=UPLOAD_SLACK_S)
            pump.cancel()
        failure = pump.result() if pump.done() else None
        if failure is not None and reply.error is not None:
            raise failure
        return replies, reply

    async def _pump(
        self, request: Request, write_fd: int, on_received: Callable[[], None]
    ) -> ApiError | None:
        """Write the body into the pipe and close it. Return the reason if it has ended early."""
        loop = asyncio.get_running_loop()
        begin_s, received_bytes = loop.time(), 0
        stream = request.stream()
        try:
            while True:
                allowed_s = UPLOAD_SLACK_S + received_bytes / MIN_UPLOAD_BYTES_PER_S
                deadline_s = min(begin_s + allowed_s, loop.time() + UPLOAD_STALL_S)
                async with asyncio.timeout_at(deadline_s):
                    chunk = await anext(stream, b"")
                if not chunk:
                    return None
                received_bytes += len(chunk)
                on_received()
                await to_thread.run_sync(_write_all, write_fd, chunk, limiter=self._limiter)
        except TimeoutError:
            return ApiError(408, "slow", "the upload is too slow")
        except ClientDisconnect:
            return ApiError(400, "malformed", "the upload has ended early")
        except BrokenPipeError:
            return None  # the act has read enough, and its reply says why
        finally:
            os.close(write_fd)


def escape_json(document: bytes) -> str:
    """Return a JSON document in ASCII, for a header."""
    return json.dumps(decode_any_json(document), separators=(",", ":"))


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await to_thread.run_sync(file.read, FILE_CHUNK_BYTES):
        yield chunk


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


def _no_act_server() -> ApiError:
    return ApiError(503, "acts", "the console has ended: type page on there again")
