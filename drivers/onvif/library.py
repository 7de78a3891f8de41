"""The used part of the ONVIF library, without its side effect and with bounded answers.

Its import configures the root logger (`onvif.client`, by `logging.basicConfig`), which only a
program may do: the root logger is restored. The library reads an answer whole and inflates it, so
that a hostile camera could fill the box's memory: its HTTP sessions accept neither compression nor
more than MAX_ANSWER_BYTES.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import aiohttp

_root = logging.getLogger()
_root_state = (list(_root.handlers), _root.level)

import onvif.client  # type: ignore[import-untyped]  # noqa: E402 - between
from onvif.client import ONVIFCamera  # noqa: E402 - the two
from onvif.definition import SERVICES  # type: ignore[import-untyped]  # noqa: E402 - halves
from onvif.exceptions import ONVIFError  # type: ignore[import-untyped]  # noqa: E402 - halves
from onvif.managers import PullPointManager  # type: ignore[import-untyped]  # noqa: E402 - of
from onvif.util import is_auth_error  # type: ignore[import-untyped]  # noqa: E402 - a bracket

_root.handlers[:], _root.level = _root_state
# It logs a traceback for each value of an answer that it cannot convert, hundreds in one answer.
logging.getLogger("zeep").setLevel(logging.CRITICAL)

__all__ = [
    "MAX_ANSWER_BYTES",
    "ONVIFCamera",
    "ONVIFError",
    "PullPointManager",
    "is_auth_error",
    "load_service_descriptions",
]

MAX_ANSWER_BYTES = 1_048_576
"""The largest answers seen are lists of profiles and capabilities, below 200 kB."""
_REDIRECTS = (301, 302, 303, 307, 308)


class _BoundedResponse(aiohttp.ClientResponse):
    """A response whose body is read up to a limit only."""

    async def read(self) -> bytes:
        """Return the body. Raises: aiohttp.ClientPayloadError if it is larger, or compressed."""
        if self._body is None:
            try:
                self._body = await self._read_bounded()
            except BaseException:
                self.close()
                raise
        return self._body

    async def _read_bounded(self) -> bytes:
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise aiohttp.ClientPayloadError(
                f"an answer in {encoding[:20]}, which was not accepted"
            )
        body = bytearray()
        async for chunk in self.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise aiohttp.ClientPayloadError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)


async def _refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Refuse an answer that leads elsewhere: a client sends its digest to the camera alone."""
    response = await handler(request)
    if response.status in _REDIRECTS:
        response.close()
        raise aiohttp.ClientPayloadError("an answer that leads elsewhere")
    return response


onvif.client.ClientSession = partial(
    aiohttp.ClientSession,
    response_class=_BoundedResponse,
    auto_decompress=False,
    middlewares=(_refuse_redirects,),
    headers={"Accept-Encoding": "identity"},
)


def load_service_descriptions(services: Sequence[str]) -> None:
    """Parse the WSDL files of some services into the library's cache. No thread is left behind."""

    async def load() -> None:
        for service in services:
            file = Path(onvif.client._WSDL_PATH) / SERVICES[service]["wsdl"]  # noqa: SLF001
            await onvif.client._cached_document(str(file))  # noqa: SLF001 - it has no other

    asyncio.run(load())
