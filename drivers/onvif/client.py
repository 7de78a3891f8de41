"""A client of one ONVIF device, with blocking calls.

The library uses asyncio, and the agent threads: each client has one private event loop in one
thread, as long as it is open, and asyncio is used in this file alone.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal, TypeVar

import aiohttp
import zeep.exceptions
from lxml.etree import LxmlError  # type: ignore[import-untyped]

from drivers.errors import DriverError, DriverErrorKind
from drivers.onvif.credentials import OnvifAccess, read_password
from drivers.onvif.library import ONVIFCamera, ONVIFError, is_auth_error

log = logging.getLogger(__name__)

T = TypeVar("T")

Service = Literal["devicemgmt", "media", "ptz", "events"]
NAMESPACES: dict[Service, str] = {
    "devicemgmt": "http://www.onvif.org/ver10/device/wsdl",
    "media": "http://www.onvif.org/ver10/media/wsdl",
    "ptz": "http://www.onvif.org/ver20/ptz/wsdl",
    "events": "http://www.onvif.org/ver10/events/wsdl",
}
"""The namespaces of the services in use: ONVIF Core Specification, table 1."""

FIRST_CALL_FACTOR = 3
"""The first call connects: it may take this many times the timeout of the others."""
CALLER_MARGIN_S = 1.0
"""The loop times out by itself; the caller waits this much longer for its result."""
CLOSE_TIMEOUT_S = 3.0

_UNAUTHORISED = 401
_PARSE_ERRORS = (AttributeError, TypeError, KeyError, ValueError)
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


class OnvifClient:
    """Thread-safe, and calls run at the same time: a stop does not wait for a query before it.

    It connects at the first call, and again after the password was refused: the device's clock is
    part of the digest, and clocks are set. Raises DriverError: `absent` (no host, refused, or
    closed), `timeout`, `unsupported` (no such service or operation), `protocol` (the password was
    refused, or the reply is not valid).
    """

    def __init__(self, name: str, credentials: OnvifAccess) -> None:
        """`name` is for messages. Raises: DriverError if the password cannot be read."""
        self.display_name = f"{name}: {credentials.url}"
        self._credentials = credentials
        self._password = (
            None
            if credentials.password_file is None
            else read_password(credentials.password_file, self.display_name)
        )
        self._device: ONVIFCamera | None = None
        self._connect_lock = asyncio.Lock()
        self._close_lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"onvif {name}", daemon=True
        )
        self._thread.start()

    @property
    def timeout_s(self) -> float:
        """The timeout of a call, except for the first."""
        return self._credentials.timeout_s

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
        timeout_limit_s = self._credentials.timeout_s if timeout_s is None else timeout_s
        if self._device is None:
            timeout_limit_s *= FIRST_CALL_FACTOR

        async def with_timeout() -> T:
            async with asyncio.timeout(timeout_limit_s):
                return await work(await self._connect())

        return self._run_in_loop(with_timeout(), timeout_limit_s)

    def close(self) -> None:
        """Close the connections and end the thread. A second call does nothing."""
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
        shutdown = asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop)
        try:
            shutdown.result(CLOSE_TIMEOUT_S)
        except TimeoutError:
            log.warning("%s: the connections do not close", self.display_name)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _run_in_loop(self, work: Coroutine[Any, Any, T], timeout_limit_s: float) -> T:
        with self._close_lock:
            if self._closed:
                work.close()
                raise DriverError("closed", f"{self.display_name}: closed")
            pending = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return pending.result(timeout_limit_s + CALLER_MARGIN_S)
        except concurrent.futures.CancelledError as error:
            raise DriverError("closed", f"{self.display_name}: closed") from error
        except _CALL_ERRORS as error:
            pending.cancel()
            if _is_auth_failure(error):
                self._reconnect_later()
            raise self._to_driver_error(error, timeout_limit_s) from error

    def _reconnect_later(self) -> None:
        """Connect again at the next call."""
        with self._close_lock:
            if not self._closed:
                asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop)

    async def _connect(self) -> ONVIFCamera:
        async with self._connect_lock:
            if self._device is None:
                device = ONVIFCamera(
                    self._credentials.host,
                    self._credentials.port,
                    self._credentials.username or "",  # the library knows no caller without a name
                    self._password or "",
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

    async def _shut_down(self) -> None:
        other_tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in other_tasks:
            task.cancel()
        await asyncio.gather(*other_tasks, return_exceptions=True)
        await self._disconnect()
        await self._loop.shutdown_default_executor()

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
        if self._credentials.username is None:
            return "wants a user and a password"
        return f"refuses the password of user {self._credentials.username!r}"


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
