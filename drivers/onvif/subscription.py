"""A subscription to a camera's notifications. For the child."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from drivers.onvif.camera_info import strip_prefixes
from drivers.onvif.library import ONVIFCamera, PullPointManager
from drivers.onvif.operations import CameraNotification
from drivers.onvif.soap_client import SoapClient

SUBSCRIPTION_S = 120
"""The camera deletes the subscription if the box is silent for this time."""
MAX_MESSAGES = 100
"""The most messages in one pull; the rest waits in the camera."""
MAX_TEXT_CHARS = 64

_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Subscription:
    """One subscription, as soon as it is constructed."""

    def __init__(self, client: SoapClient) -> None:
        """Raises: DriverError."""
        self._client = client

        async def subscribe(device: ONVIFCamera) -> PullPointManager:
            return await device.create_pullpoint_manager(
                timedelta(seconds=SUBSCRIPTION_S), lambda: None
            )

        self._manager = client.run(subscribe)

    def pull(self, timeout_s: float) -> tuple[CameraNotification, ...]:
        """Return the notifications that come within `timeout_s`. Raises: DriverError."""

        async def pull_messages(_: ONVIFCamera) -> Any:
            service = self._manager.get_service()
            arguments = {"Timeout": timedelta(seconds=timeout_s), "MessageLimit": MAX_MESSAGES}
            return await service.PullMessages(arguments)

        reply = self._client.run(pull_messages, timeout_s + self._client.timeout_s)
        parsed = (
            parse_notification(one) for one in getattr(reply, "NotificationMessage", None) or ()
        )
        return tuple(one for one in parsed if one is not None)

    def end(self) -> None:
        """Unsubscribe. Raises: DriverError."""

        async def unsubscribe(_: ONVIFCamera) -> None:
            await self._manager.shutdown()

        self._client.run(unsubscribe)


def parse_notification(message: Any) -> CameraNotification | None:
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
