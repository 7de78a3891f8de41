"""Time arguments of commands: RFC 3339, or an offset before now. Pure."""

import re
from datetime import UTC, datetime, timedelta

from agent.base.errors import UserError
from agent.base.message import Message

ALLOWED_FORMATS = "2026-11-25T14:05:00Z, 2026-11-25T15:05:00+01:00, -10m, -1h30m, now"

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_RELATIVE = re.compile(
    r"-(?:(?P<days>\d{1,4})d)?(?:(?P<hours>\d{1,4})h)?(?:(?P<minutes>\d{1,5})m)?(?:(?P<seconds>\d{1,6})s)?",
    re.ASCII,
)


def parse_time(text: str, now: datetime, option: str) -> datetime:
    """Parse a time to UTC. `option` is named in messages, such as `--from`.

    A time without its zone is refused: the zones of the box and of the technician may differ.
    Raises: UserError if the text is no time.
    """
    if text == "now":
        return now
    relative = _RELATIVE.fullmatch(text)
    if relative is not None and len(text) > 1:
        amounts = {unit: int(number) for unit, number in relative.groupdict().items() if number}
        return now - timedelta(**amounts)
    if _RFC3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise UserError(
        Message(
            "{argument} {text!r}: no time with a zone; allowed: {formats}",
            argument=option,
            text=text,
            formats=ALLOWED_FORMATS,
        )
    )
