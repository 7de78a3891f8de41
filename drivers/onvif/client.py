"""One ONVIF device, whose answers are parsed in a child process."""

from functools import partial
from typing import Any

from drivers.child.fork_server import ForkServer
from drivers.child.requests import RequestChild, RestartedChild
from drivers.onvif.camera_info import CameraInfo
from drivers.onvif.credentials import OnvifAccess, read_password
from drivers.onvif.operations import (
    FIRST_CALL_FACTOR,
    CameraNotification,
    CameraPreset,
    DeviceAccess,
    HasService,
    HeadProfile,
    HeadStatus,
    OnvifSettings,
    Order,
    Pull,
    ReadCameraInfo,
    ReadHeadProfile,
    ReadPresets,
    ReadStatus,
    SendOrder,
    Service,
    StorePreset,
    Subscribe,
    Unsubscribe,
)

INFO_CALLS = 8
"""Calls of ReadCameraInfo and of ReadHeadProfile, at most."""
MAX_CORES = 0.5
"""Of a child that parses one answer after the other."""

FORK_SERVER = ForkServer("drivers.onvif.child")
"""Of all ONVIF cameras."""


def onvif_child(display_name: str, settings: OnvifSettings) -> RestartedChild:
    """Return the child of a camera, or of a search. It is started with the first request."""
    start = partial(
        RequestChild, display_name, settings, FORK_SERVER.start_child, max_cores=MAX_CORES
    )
    return RestartedChild(display_name, start)


class OnvifClient:
    """Thread-safe, and calls run at the same time: a stop does not wait for a query before it.

    Each method raises DriverError: `absent` (no host, or refused), `timeout`, `unsupported` (no such service
    or operation), `protocol` (the password was refused, or the reply is not valid), `crashed` (the reply
    breaks the child), `closed` after `close`.
    """

    def __init__(self, name: str, credentials: OnvifAccess) -> None:
        """`name` is for messages. Raises: DriverError if the password cannot be read."""
        self.display_name = f"{name}: {credentials.url}"
        password = (
            None
            if credentials.password_file is None
            else read_password(credentials.password_file, self.display_name)
        )
        self._timeout_s = credentials.timeout_s
        self._child = onvif_child(
            self.display_name,
            OnvifSettings(
                device=DeviceAccess(
                    host=credentials.host,
                    port=credentials.port,
                    username=credentials.username,
                    password=password,
                    timeout_s=credentials.timeout_s,
                )
            ),
        )

    @property
    def child_pid(self) -> int | None:
        """The child's process, None while there is none."""
        return self._child.pid

    def has_service(self, service: Service) -> bool:
        """Return whether the device reports a service."""
        return self._child.request(HasService(service=service), bool, self._limit_s)

    def read_camera_info(self) -> CameraInfo:
        """Return the camera's description. Raises `unsupported` if it has no usable stream."""
        return self._child.request(ReadCameraInfo(), CameraInfo, self._limit_s * INFO_CALLS)

    def read_head_profile(self, token: str | None) -> HeadProfile:
        """Return a profile, or the first one with a head. Raises `unsupported` if there is none."""
        operation = ReadHeadProfile(token=token)
        return self._child.request(operation, HeadProfile, self._limit_s * INFO_CALLS)

    def read_status(self, profile: str) -> HeadStatus:
        """Return the state of a head."""
        return self._child.request(ReadStatus(profile=profile), HeadStatus, self._limit_s)

    def read_presets(self, profile: str) -> tuple[CameraPreset, ...]:
        """Return the presets of a head."""
        operation = ReadPresets(profile=profile)
        return self._child.request(operation, tuple[CameraPreset, ...], self._limit_s)

    def store_preset(self, profile: str, name: str, token: str | None) -> str:
        """Store the present position, in place of the preset with the token; return its token."""
        operation = StorePreset(profile=profile, name=name, token=token)
        return self._child.request(operation, str, self._limit_s)

    def send_order(
        self,
        profile: str,
        operation: Order,
        *,
        move_timeout_s: float | None = None,
        **arguments: Any,
    ) -> None:
        """Send an order to a head."""
        order = SendOrder(
            profile=profile, operation=operation, arguments=arguments, timeout_s=move_timeout_s
        )
        self._child.request(order, type(None), self._limit_s)

    def subscribe(self) -> None:
        """Subscribe to the camera's notifications."""
        self._child.request(Subscribe(), type(None), self._limit_s)

    def pull(self, timeout_s: float) -> tuple[CameraNotification, ...]:
        """Return the notifications that come within `timeout_s`."""
        operation = Pull(timeout_s=timeout_s)
        return self._child.request(
            operation, tuple[CameraNotification, ...], timeout_s + self._limit_s
        )

    def unsubscribe(self) -> None:
        """End the subscription."""
        self._child.request(Unsubscribe(), type(None), self._limit_s)

    def close(self) -> None:
        """Close the connections and end the child. A second call does nothing."""
        self._child.close()

    @property
    def _limit_s(self) -> float:
        """The time within which the child returns a result or its own timeout."""
        return self._timeout_s * FIRST_CALL_FACTOR
