"""Versions of the system, and which is newer. Pure.

Digits and dots, and behind a hyphen what comes before the release: 1.2.3-rc.1 is older than 1.2.3. As
semver.org orders them; what stands behind a plus sign does not count.
"""

import re

_FORM = re.compile(
    r"(?P<core>\d{1,9}(?:\.\d{1,9}){0,3})(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
ALLOWED = "1.2.3 or 1.2.3-rc.1"

Key = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def key(version: str) -> Key:
    """What versions are ordered by. Raises ValueError where it is none."""
    found = _FORM.fullmatch(version)
    if found is None or len(version) > 64:  # noqa: PLR2004
        raise ValueError(f"{version!r}: not a version; allowed: {ALLOWED}")
    core = [int(number) for number in found["core"].split(".")]
    while core and core[-1] == 0:
        core.pop()
    pre = found["pre"]
    words = () if pre is None else tuple(_word(word) for word in pre.split("."))
    return tuple(core), pre is None, words


def goes_back(now: str | None, to: str) -> bool:
    """Whether `to` is older than what runs `now`; a version that cannot be read goes back."""
    try:
        return now is None or key(to) < key(now)
    except ValueError:
        return True


def _word(word: str) -> tuple[bool, int, str]:
    """Numbers among themselves as numbers, and below all words."""
    return (False, int(word), "") if word.isdecimal() else (True, 0, word)
