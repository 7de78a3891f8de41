"""A configuration for those who are far from the box: only what is known to be harmless stays. Pure.

Numbers and yes or no stay. Of texts only those stay whose place in the file is listed here; of an
address its host. So a key that is new, misspelt or a driver's own shows nothing until it is listed.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

LEFT_OUT = "(left out)"
_LONGEST = 200

PLAIN = frozenset(
    {
        "box.id",
        "box.site",
        "box.state",
        "broker.ca",
        "broker.certificate",
        "broker.ack",
        "record.folder",
        "record.recipient.id",
        "record.recipient.public_key",
        "hold.kinds",
        "camera.name",
        "camera.driver",
        "camera.options.device",
        "camera.options.path",
        "camera.options.pace",
        "camera.options.codec",
        "camera.options.transport",
        "camera.options.format",
        "camera.detect_options.device",
        "camera.detect_options.path",
        "camera.detect_options.codec",
        "camera.detect_options.transport",
        "camera.detect_options.format",
        "camera.detect.model",
        "camera.detect.scene",
        "camera.detect.scenes.*",
        "camera.onvif.events",
        "camera.institution.owner",
        "camera.institution.purpose",
        "head.name",
        "head.driver",
        "head.camera",
        "head.options.device",
        "head.options.port",
        "head.options.model",
        "head.tour.name",
        "head.tour.stop.preset",
        "gpio.driver",
        "gpio.options.chip",
        "pin.name",
        "pin.kind",
        "pin.pull",
        "console.language",
        "console.technician.id",
        "console.technician.public_key",
    }
)
"""The places of texts that stay, without the numbers of tables in a list. `*` is any one key. The path
of a secret is not among them: somebody may have put the secret itself there."""

ADDRESSES = frozenset(
    {
        "broker.url",
        "camera.options.url",
        "camera.detect_options.url",
        "camera.onvif.url",
        "head.options.url",
    }
)
"""Of these stays the host: cameras take passwords in paths and queries too."""

_WORDS = re.compile(r"[/?&;=]+")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+")


_COMMON = frozenset({"main", "stream", "channel", "channels", "live", "video", "media", "profile"})
"""Words of many addresses, and of the journal."""


def allowed(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a configuration, with what may not leave left out."""
    return {key: _shown(value, key, key) for key, value in tables.items()}


def withheld(tables: Mapping[str, Any]) -> Iterator[str]:
    """The texts that `allowed` leaves out, so that they can be looked for elsewhere too."""
    yield from _withheld(tables, allowed(tables))


def _withheld(given: Any, shown: Any) -> Iterator[str]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            yield from _withheld(value, shown[key])
    elif isinstance(given, list):
        for one, told in zip(given, shown, strict=True):
            yield from _withheld(one, told)
    elif isinstance(given, str) and given != shown:
        yield given
        yield from (part for part in _parts(given) if part not in _COMMON)


def _parts(text: str) -> Iterator[str]:
    """What a text holds that may stand elsewhere by itself: of an address its user, its password and
    the words of its path and query; the lines of a longer one.
    """
    yield from text.splitlines()[1:]
    try:
        url = urlsplit(text)
    except ValueError:
        return
    if url.netloc:
        yield from url.netloc.rpartition("@")[0].split(":")
        yield from _WORDS.split(f"{url.path}?{url.query}")


def _shown(value: Any, place: str, listed: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _shown(one, f"{place}.{key}", f"{place}.{key}") for key, one in value.items()}
    if isinstance(value, list):
        return [_shown(one, place, listed) for one in value]
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, bool | int | float):
        # A number may be a PIN, where nobody foresaw it.
        return LEFT_OUT if _is_secret(place) else value
    return LEFT_OUT


def _text(value: str, place: str) -> str:
    if place in ADDRESSES:
        return shown_address(value)
    within = place.rpartition(".")[0] + ".*"
    harmless = value.isprintable() and len(value) <= _LONGEST and "PRIVATE KEY" not in value
    if (place in PLAIN or within in PLAIN) and harmless and "@" not in value:
        return value
    return LEFT_OUT


def shown_address(value: str) -> str:
    """Its scheme, host and port."""
    try:
        url = urlsplit(value)
        port = f":{url.port}" if url.port else ""
        host = url.hostname or ""
    except ValueError:
        return LEFT_OUT
    if not _HOST.fullmatch(host) or not re.fullmatch(r"[a-z]{1,8}", url.scheme):
        return LEFT_OUT
    plain = f"{url.scheme}://{host}{port}"
    return plain if value.rstrip("/") == plain else f"{plain}/{LEFT_OUT}"


_SECRET = re.compile(r"pass|secret|token|credential|private|pin_?code|psk|auth")


def _is_secret(place: str) -> bool:
    return bool(_SECRET.search(place.rpartition(".")[2].lower()))
