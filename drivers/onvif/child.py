"""The child of one ONVIF camera, or of one search: SOAP, XML and HTTP are parsed here."""

import os
import threading
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from drivers.child import messages
from drivers.child.confinement import Confinement, confine
from drivers.child.main import ChildEnd
from drivers.child.requests import answer, read_requests
from drivers.errors import DriverError
from drivers.onvif import camera_queries, coordinate_spaces, library, operations
from drivers.onvif.move_status import is_busy
from drivers.onvif.soap_client import SoapClient
from drivers.onvif.subscription import Subscription
from drivers.onvif.ws_discovery import search

MAX_MEMORY_BYTES = 134_217_728
"""An answer of the largest size takes up to 100 MB as a tree and as Python's objects."""

SEARCH_CPU_S = 20
"""A search of a subnet is over within seconds."""

_decoder: msgspec.msgpack.Decoder[operations.Operation] = msgspec.msgpack.Decoder(
    operations.Operation
)


def prepare() -> None:
    """Read the descriptions of the services, which all children share."""
    library.load_service_descriptions(tuple(operations.NAMESPACES))


def run(end: ChildEnd) -> None:
    """Answer requests until the parent's end is closed. They run at the same time."""
    device = messages.from_raw(end.settings, operations.OnvifSettings).device
    confine(
        Confinement(memory_bytes=MAX_MEMORY_BYTES, network="search", cpu_s=SEARCH_CPU_S)
        if device is None
        else Confinement(memory_bytes=MAX_MEMORY_BYTES, network="client", tcp_ports=(device.port,)),
        end,
    )
    executor = _DiscoveryExecutor() if device is None else _DeviceExecutor(end, device)
    for number, operation in read_requests(end, _decoder):
        execute = partial(executor.execute, operation)
        threading.Thread(target=answer, args=(end, number, execute), daemon=True).start()
    # Connections end with the process; the library would log each that was not closed before.
    os._exit(os.EX_OK)


class _DiscoveryExecutor:
    """The operations of a search."""

    def execute(self, operation: operations.Operation) -> object:
        if isinstance(operation, operations.Discover):
            return search(frozenset(operation.addresses), operation.timeout_s)
        raise DriverError("unsupported", "a search has no device")


class _DeviceExecutor:
    """The operations of one device."""

    def __init__(self, end: ChildEnd, device: operations.DeviceAccess) -> None:
        self._client = SoapClient(end.display_name, device)
        self._subscription: Subscription | None = None

    def execute(self, operation: operations.Operation) -> object:  # noqa: C901, PLR0911 - a table
        """Execute an operation, and return its result. Raises: DriverError."""
        match operation:
            case operations.HasService(service=service):
                return self._client.has_service(service)
            case operations.ReadCameraInfo():
                return camera_queries.read_camera_info(self._client)
            case operations.ReadHeadProfile(token=token):
                return camera_queries.read_head_profile(self._client, token)
            case operations.ReadStatus():
                return self._read_status(operation.profile)
            case operations.ReadPresets():
                return self._read_presets(operation.profile)
            case operations.StorePreset(token=token):
                token_argument = {} if token is None else {"PresetToken": token}
                return str(
                    self._ptz(
                        "SetPreset", operation.profile, PresetName=operation.name, **token_argument
                    )
                )
            case operations.SendOrder(timeout_s=timeout_s):
                timeout = {} if timeout_s is None else {"Timeout": timedelta(seconds=timeout_s)}
                self._ptz(operation.operation, operation.profile, **operation.arguments, **timeout)
                return None
            case operations.Subscribe():
                self._subscription = Subscription(self._client)
                return None
            case operations.Pull(timeout_s=timeout_s) if self._subscription is not None:
                return self._subscription.pull(timeout_s)
            case operations.Unsubscribe() if self._subscription is not None:
                self._subscription.end()
                return None
        raise DriverError("unsupported", f"{self._client.display_name}: there is no subscription")

    def _ptz(self, operation: str, profile: str, **arguments: Any) -> Any:
        return self._client.call("ptz", operation, ProfileToken=profile, **arguments)

    def _read_status(self, profile: str) -> operations.HeadStatus:
        status = self._ptz("GetStatus", profile)
        return operations.HeadStatus(
            position=coordinate_spaces.read_vector(getattr(status, "Position", None)),
            is_busy=is_busy(status),
        )

    def _read_presets(self, profile: str) -> tuple[operations.CameraPreset, ...]:
        return tuple(
            operations.CameraPreset(
                token=str(preset.token),
                name=str(preset.Name),
                position=coordinate_spaces.read_vector(preset.PTZPosition),
            )
            for preset in self._ptz("GetPresets", profile) or ()
        )
