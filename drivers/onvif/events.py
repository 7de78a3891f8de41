"""Notifications of an ONVIF camera, pulled through a subscription."""

import contextlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from drivers.errors import DriverError
from drivers.onvif.camera_info import strip_prefixes
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess
from drivers.onvif.library import ONVIFCamera, PullPointManager

SUBSCRIPTION_S = 120
"""The camera deletes the subscription if the box is silent for this time."""
MAX_MESSAGES = 100
"""The most messages in one pull; the rest waits in the camera."""
MAX_TEXT_CHARS = 64

_TRUE, _FALSE = ("true", "1"), ("false", "0")


class CameraNotification(msgspec.Struct, frozen=True, kw_only=True):
    """One notification of a camera.

    `topic` is without prefixes. `state` is None if the topic has none. `source` is the item in the
    camera that it is about. `t_ns` is the time of arrival: the camera's clock is not the box's.
    """

    topic: str
    state: bool | None
    source: str
    t_ns: int


class EventFeed:
    """A subscription at one camera. One thread pulls; a DriverError ends it."""

    def __init__(self, client: OnvifClient) -> None:
        """Subscribe; the first pull returns the current state of each topic that has one.

        Raises DriverError: `unsupported` if the camera has no events.
        """
        self._client = client

        async def subscribe(device: ONVIFCamera) -> PullPointManager:
            return await device.create_pullpoint_manager(
                timedelta(seconds=SUBSCRIPTION_S), lambda: None
            )

        if not client.has_service("events"):
            raise DriverError("unsupported", f"{client.display_name}: it has no events")
        self._manager = client.run(subscribe)

    def pull(self, timeout_s: float, t_ns: int) -> tuple[CameraNotification, ...]:
        """Return the notifications that come within `timeout_s`, as of `t_ns`. Raises DriverError."""

        async def pull_messages(_: ONVIFCamera) -> Any:
            service = self._manager.get_service()
            arguments = {"Timeout": timedelta(seconds=timeout_s), "MessageLimit": MAX_MESSAGES}
            return await service.PullMessages(arguments)

        reply = self._client.run(pull_messages, timeout_s + self._client.timeout_s)
        parsed = (
            parse_notification(one, t_ns)
            for one in getattr(reply, "NotificationMessage", None) or ()
        )
        return tuple(one for one in parsed if one is not None)

    def close(self) -> None:
        """Unsubscribe and close the client."""

        async def unsubscribe(_: ONVIFCamera) -> None:
            await self._manager.shutdown()

        with contextlib.suppress(DriverError):  # the subscription expires by itself
            self._client.run(unsubscribe)
        self._client.close()


def open_event_feed(name: str, credentials: OnvifAccess) -> EventFeed:
    """Connect and subscribe; `name` is for messages. Raises DriverError."""
    client = OnvifClient(name, credentials)
    try:
        return EventFeed(client)
    except DriverError:
        client.close()
        raise


def parse_notification(message: Any, t_ns: int) -> CameraNotification | None:
    """Convert the SOAP library's `wsnt:NotificationMessage`, or return None if it is none. Pure.

    The state is the first data item that is true or false; 1 and 0 count if the item's name is that
    of a state. A deleted property is false.
    """
    topic = getattr(getattr(message, "Topic", None), "_value_1", None)
    body = getattr(getattr(message, "Message", None), "_value_1", None)
    if not isinstance(topic, str) or body is None or not strip_prefixes(topic):
        return None
    source = [f"{name}={value}" for name, value in _simple_items(body, "Source", "Key")]
    state = _parse_state(_simple_items(body, "Data"))
    if getattr(body, "PropertyOperation", None) == "Deleted":
        state = False
    return CameraNotification(
        topic=strip_prefixes(topic),
        state=state,
        source=",".join(source)[: 4 * MAX_TEXT_CHARS],
        t_ns=t_ns,
    )


def _simple_items(body: Any, *parts: str) -> list[tuple[str, str]]:
    lists = (getattr(body, part, None) for part in parts)
    items: Iterable[Any] = (
        item
        for items in lists
        if items is not None
        for item in getattr(items, "SimpleItem", ()) or ()
    )
    return [(str(item.Name), str(item.Value)) for item in items]


def _parse_state(data: list[tuple[str, str]]) -> bool | None:
    for name, value in data:
        text = value.strip().lower()
        is_state_item = name.lower().startswith("is") or name.lower().endswith("state")
        if text not in _TRUE + _FALSE or (text in ("0", "1") and not is_state_item):
            continue
        return text in _TRUE
    return None
