"""Notifications of an ONVIF camera, pulled through a subscription."""

import contextlib

import msgspec

from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess
from drivers.onvif.operations import CameraNotification


class EventFeed:
    """A subscription at one camera. One thread pulls; a DriverError ends it."""

    def __init__(self, client: OnvifClient) -> None:
        """Subscribe; the first pull returns the current state of each topic that has one.

        Raises DriverError: `unsupported` if the camera has no events.
        """
        self._client = client
        if not client.has_service("events"):
            raise DriverError("unsupported", f"{client.display_name}: it has no events")
        client.subscribe()

    def pull(self, timeout_s: float, t_ns: int) -> tuple[CameraNotification, ...]:
        """Return the notifications that come within `timeout_s`, as of `t_ns`. Raises DriverError."""
        return tuple(
            msgspec.structs.replace(notification, t_ns=t_ns)
            for notification in self._client.pull(timeout_s)
        )

    def close(self) -> None:
        """Unsubscribe and close the client."""
        with contextlib.suppress(DriverError):  # the subscription expires by itself
            self._client.unsubscribe()
        self._client.close()


def open_event_feed(name: str, credentials: OnvifAccess) -> EventFeed:
    """Connect and subscribe; `name` is for messages. Raises DriverError."""
    client = OnvifClient(name, credentials)
    try:
        return EventFeed(client)
    except DriverError:
        client.close()
        raise
