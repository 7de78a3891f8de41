"""Order of system versions. Pure.

Digits and dots, with an optional pre-release after a hyphen: 1.2.3-rc.1 is older than 1.2.3. The order is that of
semver.org; the part after a plus sign is ignored.
"""

import re

_VERSION_PATTERN = re.compile(
    r"(?P<core>\d{1,9}(?:\.\d{1,9}){0,3})(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
ALLOWED_FORMAT = "1.2.3 or 1.2.3-rc.1"

VersionKey = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def version_key(version: str) -> VersionKey:
    """Return the sort key of a version. Raises: ValueError if it is malformed."""
    match = _VERSION_PATTERN.fullmatch(version)
    if match is None or len(version) > 64:  # noqa: PLR2004
        raise ValueError(f"{version!r}: not a version; allowed: {ALLOWED_FORMAT}")
    core = [int(number) for number in match["core"].split(".")]
    while core and core[-1] == 0:
        core.pop()
    pre = match["pre"]
    identifiers = (
        () if pre is None else tuple(_identifier_key(identifier) for identifier in pre.split("."))
    )
    return tuple(core), pre is None, identifiers


def is_downgrade(booted_version: str | None, target_version: str) -> bool:
    """Return whether the target is older than the booted version; an unreadable one counts as older."""
    try:
        return booted_version is None or version_key(target_version) < version_key(booted_version)
    except ValueError:
        return True


def _identifier_key(identifier: str) -> tuple[bool, int, str]:
    """Order numbers numerically, and below all words."""
    return (False, int(identifier), "") if identifier.isdecimal() else (True, 0, identifier)
