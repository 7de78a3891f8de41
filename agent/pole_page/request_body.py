"""Bodies of requests, bounded in type, size and time, and the responses to requests that are refused."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from agent.base.json_decode import MalformedJson
from agent.pole_page.request_guard import ApiError

BODY_TIMEOUT_S = 15.0
_HTTP_CODES = {404: "unknown", 405: "method"}


async def read_body(request: Request, media_type: str, max_bytes: int) -> bytes:
    """Read a small body. Raises ApiError."""
    require_media_type(request, media_type)
    body = bytearray()
    too_large = ApiError(413, "too_large", f"allowed: {max_bytes} bytes")
    if (content_length(request) or 0) > max_bytes:
        raise too_large
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError as error:
        raise ApiError(408, "slow", f"allowed: a body within {BODY_TIMEOUT_S:g} s") from error
    except ClientDisconnect as error:
        raise ApiError(400, "malformed", "the body has ended early") from error
    return bytes(body)


def content_length(request: Request) -> int | None:
    """Return the length of the body, which the HTTP parser has checked, or None if it is sent in chunks."""
    length = request.headers.get("content-length")
    return None if length is None else int(length)


def require_media_type(request: Request, media_type: str) -> None:
    """Raise ApiError if the body is of another type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise ApiError(415, "type", f"allowed: {media_type}")


async def _respond_api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - by its registration
    return error.response()


async def _respond_malformed(_request: Request, error: Exception) -> Response:
    return ApiError(400, "malformed", str(error)).response()


async def _respond_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - by its registration
    code = _HTTP_CODES.get(error.status_code, "malformed")
    return ApiError(error.status_code, code, error.detail).response()


ERROR_HANDLERS: dict[type[Exception], ExceptionHandler] = {
    ApiError: _respond_api_error,
    MalformedJson: _respond_malformed,
    HTTPException: _respond_http_error,
}
"""For Starlette: the response to each error that a route may raise."""
