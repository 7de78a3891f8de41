"""A client of one ONVIF device, with blocking calls. For the child.

The library uses asyncio, and the child threads: the client has one private event loop in one thread,
and asyncio is used in this file alone. Its connections end with the process.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import zeep.exceptions
from lxml.etree import LxmlError  # type: ignore[import-untyped]

from drivers.errors import DriverError, DriverErrorKind
from drivers.onvif.library import ONVIFCamera, ONVIFError, is_auth_error
from drivers.onvif.operations import FIRST_CALL_FACTOR, NAMESPACES, DeviceAccess, Service

T = TypeVar("T")

CALLER_MARGIN_S = 4.0
"""The loop times out by itself; one that does not within this time parses an answer that has no end."""

_UNAUTHORISED = 401
_PARSE_ERRORS = (AttributeError, TypeError, LookupError, ValueError)
"""What the SOAP library raises for a reply of unknown form."""
_CALL_ERRORS = (
    TimeoutError,
    aiohttp.ClientError,
    zeep.exceptions.Error,
    ONVIFError,
    LxmlError,
    OSError,
    *_PARSE_ERRORS,
)


class _PinnedCamera(ONVIFCamera):  # type: ignore[misc]  # it has no types
    """A camera whose services and subscriptions are at its own address, whatever it reports."""

    def rewrite_url(self, url: str | None) -> str | None:
        """Return a reported address with the scheme, host and port of the configuration."""
        if not url:
            return url
        scheme, _, host = self.host.rpartition("://")
        netloc = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        return urlunsplit(urlsplit(url)._replace(scheme=scheme or "http", netloc=netloc))


class SoapClient:
    """Thread-safe, and calls run at the same time: a stop does not wait for a query before it.

    It connects at the first call, and again after the password was refused: the device's clock is
    part of the digest, and clocks are set. Raises DriverError: `absent` (no host, or refused), `timeout`,
    `unsupported` (no such service or operation), `protocol` (the password was refused, or the reply is not
    valid), `crashed` (the reply takes too long to parse).
    """

    def __init__(self, display_name: str, access: DeviceAccess) -> None:
        """`display_name` is for messages."""
        self.display_name = display_name
        self._access = access
        self._device: ONVIFCamera | None = None
        self._connect_lock = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="onvif", daemon=True).start()

    @property
    def timeout_s(self) -> float:
        """The timeout of a call, except for the first."""
        return self._access.timeout_s

    def call(self, service: Service, operation: str, **arguments: Any) -> Any:
        """Call an operation of a service, and return its answer. Raises: DriverError."""

        async def call_service(device: ONVIFCamera) -> Any:
            return await self.call_async(device, service, operation, arguments)

        return self.run(call_service)

    def has_service(self, service: Service) -> bool:
        """Return whether the device reports a service. Raises: DriverError."""

        async def check_service(device: ONVIFCamera) -> bool:
            return NAMESPACES[service] in device.xaddrs

        return self.run(check_service)

    async def call_async(
        self, device: ONVIFCamera, service: Service, operation: str, arguments: Mapping[str, Any]
    ) -> Any:
        """Do the same as `call`, inside of `run`."""
        async with self._connect_lock:
            service_proxy = await device.create_onvif_service(service)
        return await getattr(service_proxy, operation)(dict(arguments))

    def run(self, work: Callable[[ONVIFCamera], Awaitable[T]], timeout_s: float | None = None) -> T:
        """Run `work` with the connected device in the private loop, and return its result.

        Raises: DriverError.
        """
        timeout_limit_s = self._access.timeout_s if timeout_s is None else timeout_s
        if self._device is None:
            timeout_limit_s *= FIRST_CALL_FACTOR

        async def with_timeout() -> T:
            async with asyncio.timeout(timeout_limit_s):
                return await work(await self._connect())

        return self._run_in_loop(with_timeout(), timeout_limit_s)

    def _run_in_loop(self, work: Coroutine[Any, Any, T], timeout_limit_s: float) -> T:
        pending = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return pending.result(timeout_limit_s + CALLER_MARGIN_S)
        except _CALL_ERRORS as error:
            if not pending.done():
                raise DriverError(
                    "crashed", f"{self.display_name}: its process hangs in an answer"
                ) from error
            if _is_auth_failure(error):
                # The next call connects again.
                asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop)
            raise self._to_driver_error(error, timeout_limit_s) from error

    async def _connect(self) -> ONVIFCamera:
        async with self._connect_lock:
            if self._device is None:
                device = _PinnedCamera(
                    self._access.host,
                    self._access.port,
                    self._access.username or "",  # the library knows no caller without a name
                    self._access.password or "",
                    no_cache=True,
                    adjust_time=True,
                )
                try:
                    await device.update_xaddrs()
                    self._device = device
                finally:
                    if self._device is None:
                        await device.close()
            return self._device

    async def _disconnect(self) -> None:
        async with self._connect_lock:
            device, self._device = self._device, None
            if device is not None:
                await device.close()

    def _to_driver_error(self, error: BaseException, timeout_limit_s: float) -> DriverError:
        """Map an exception to a DriverError. The password is in no message."""
        if isinstance(error, TimeoutError):
            return DriverError(
                "timeout", f"{self.display_name}: no answer within {timeout_limit_s:g} s"
            )
        if _is_auth_failure(error):
            return DriverError("protocol", f"{self.display_name}: {self._auth_message()}")
        kind: DriverErrorKind = "protocol"
        if isinstance(error, aiohttp.ClientPayloadError):
            reason = f"sends {error}"
        elif isinstance(error, aiohttp.ClientConnectionError | OSError):
            kind, reason = "absent", "cannot be reached"
        elif isinstance(error, zeep.exceptions.Fault):
            kind = "unsupported" if _is_unsupported(error) else "protocol"
            reason = f"says: {_collapse(error.message)}"
        elif isinstance(error, ONVIFError) and "support service" in str(error):
            kind, reason = "unsupported", "has no such service"
        else:
            reason = f"does not answer as ONVIF demands ({type(error).__name__})"
        return DriverError(kind, f"{self.display_name}: {reason}")

    def _auth_message(self) -> str:
        if self._access.username is None:
            return "wants a user and a password"
        return f"refuses the password of user {self._access.username!r}"


def _is_auth_failure(error: BaseException) -> bool:
    if isinstance(error, zeep.exceptions.TransportError):
        return bool(error.status_code == _UNAUTHORISED)
    return isinstance(error, Exception) and bool(is_auth_error(error))


def _is_unsupported(error: zeep.exceptions.Fault) -> bool:
    """Check the fault's sub-codes, ONVIF Core Specification 5.8.2; some devices only have text."""
    codes = " ".join(str(code) for code in error.subcodes or ())
    return "NotSupported" in codes or "not supported" in (error.message or "").lower()


def _collapse(text: str | None) -> str:
    return " ".join((text or "nothing").split())[:200]
