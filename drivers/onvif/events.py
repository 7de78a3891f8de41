"""What a camera reports itself: its notifications, pulled."""

import contextlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from drivers.errors import DriverError
from drivers.onvif.camera_info import plain_topic
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import Access
from drivers.onvif.library import ONVIFCamera, PullPointManager

KEPT_S = 120
"""So long a camera keeps a subscription of a box that says nothing more."""
MOST_MESSAGES = 100
"""In one pull; the rest waits in the camera."""
LONGEST_TEXT = 64

_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One word of a camera. `topic` is without prefixes, `state` None where the topic has none,
    `source` what it is about, `t_ns` when it arrived: a camera's clock is not ours.
    """

    topic: str
    state: bool | None
    source: str
    t_ns: int


class EventFeed:
    """A subscription at one camera. One thread pulls; errors are DriverError, and end it."""

    def __init__(self, client: OnvifClient) -> None:
        """Subscribe: the camera tells at once how everything with a state stands.

        Raises DriverError: `unsupported` where the camera has no events.
        """
        self._client = client

        async def subscribed(device: ONVIFCamera) -> PullPointManager:
            return await device.create_pullpoint_manager(timedelta(seconds=KEPT_S), lambda: None)

        if not client.has("events"):
            raise DriverError("unsupported", f"{client.what}: it has no events")
        self._manager = client.run(subscribed)

    def pull(self, timeout_s: float, t_ns: int) -> tuple[Notification, ...]:
        """What has come within `timeout_s` seconds, as of `t_ns`. Raises DriverError."""

        async def pulled(_: ONVIFCamera) -> Any:
            service = self._manager.get_service()
            asked = {"Timeout": timedelta(seconds=timeout_s), "MessageLimit": MOST_MESSAGES}
            return await service.PullMessages(asked)

        answer = self._client.run(pulled, timeout_s + self._client.timeout_s)
        read = (parse(one, t_ns) for one in getattr(answer, "NotificationMessage", None) or ())
        return tuple(one for one in read if one is not None)

    def close(self) -> None:
        """Say that nobody listens any more, and close the client."""

        async def unsubscribed(_: ONVIFCamera) -> None:
            await self._manager.shutdown()

        with contextlib.suppress(DriverError):  # it forgets by itself
            self._client.run(unsubscribed)
        self._client.close()


def open_feed(name: str, access: Access) -> EventFeed:
    """Connect and subscribe; `name` is for messages. Raises DriverError."""
    client = OnvifClient(name, access)
    try:
        return EventFeed(client)
    except DriverError:
        client.close()
        raise


def parse(message: Any, t_ns: int) -> Notification | None:
    """A `wsnt:NotificationMessage` as the SOAP library gives it, or None where it is none. Pure.

    A state is the first item of its data that is true or false; 1 and 0 count where the item is
    named for a state. A property that is deleted is false.
    """
    topic = getattr(getattr(message, "Topic", None), "_value_1", None)
    body = getattr(getattr(message, "Message", None), "_value_1", None)
    if not isinstance(topic, str) or body is None or not plain_topic(topic):
        return None
    source = [f"{name}={value}" for name, value in _items(body, "Source", "Key")]
    state = _state(_items(body, "Data"))
    if getattr(body, "PropertyOperation", None) == "Deleted":
        state = False
    return Notification(
        topic=plain_topic(topic),
        state=state,
        source=",".join(source)[: 4 * LONGEST_TEXT],
        t_ns=t_ns,
    )


def _items(body: Any, *parts: str) -> list[tuple[str, str]]:
    lists = (getattr(body, part, None) for part in parts)
    items: Iterable[Any] = (
        item
        for items in lists
        if items is not None
        for item in getattr(items, "SimpleItem", ()) or ()
    )
    return [(str(item.Name), str(item.Value)) for item in items]


def _state(data: list[tuple[str, str]]) -> bool | None:
    for name, value in data:
        word = value.strip().lower()
        named = name.lower().startswith("is") or name.lower().endswith("state")
        if word not in _TRUE + _FALSE or (word in ("0", "1") and not named):
            continue
        return word in _TRUE
    return None
