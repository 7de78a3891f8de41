"""Films of a count in their order, and the start of each: by --start, by the films' names or by their own metadata."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from agent.base.errors import UserError
from centre.count.results import StartSource
from centre.film_player import FilmHeader, header_warnings, read_header

SUFFIXES = frozenset(
    {
        ".3gp",
        ".asf",
        ".avi",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ts",
        ".webm",
        ".wmv",
    }
)
"""Files of a folder that are films. A file that is named itself may have any name."""

FIRST_START = datetime(2000, 1, 1, tzinfo=UTC)
END_OF_STARTS = datetime(2100, 1, 1, tzinfo=UTC)
"""Starts before and after are those of a clock that was never set."""

MAX_OVERLAP_S = 2.0
"""Times in names are whole seconds, and lengths in headers are rounded: a longer overlap counts road users twice."""


class FoundFilm(msgspec.Struct, frozen=True, kw_only=True):
    """One film of the arguments, before its start is known."""

    path: Path
    header: FilmHeader


class ListedFilm(msgspec.Struct, frozen=True, kw_only=True):
    """One film of a count. `start` has a fixed offset, so that adding seconds to it is exact."""

    name: str
    """Names its files in the result: the name of the film's file without suffix, unique in the count."""
    path: Path
    header: FilmHeader
    start: datetime
    start_source: StartSource
    warnings: tuple[str, ...]

    @property
    def end(self) -> datetime:
        """The time at which it ends, by its header."""
        return self.start + timedelta(seconds=self.header.duration_s)


class StartRules(msgspec.Struct, frozen=True, kw_only=True):
    """How the starts are known: at most one of `start` and `name_pattern`; without both from the films' metadata.

    `time_zone` is that of names without an offset, and of the times in the result.
    """

    start: datetime | None = None
    name_pattern: str | None = None
    time_zone: ZoneInfo | None = None


def find_films(arguments: Iterable[Path]) -> tuple[Path, ...]:
    """Return films and those in folders, which are in the order of their names with numbers by value.

    Raises: UserError if a folder has none, or if a film is named twice.
    """
    films = tuple(film for argument in arguments for film in _films_of(argument))
    seen: set[Path] = set()
    for film in films:
        resolved = film.resolve()
        if resolved in seen:
            raise UserError(f"{film}: named twice; allowed: each film once")
        seen.add(resolved)
    return films


def list_films(arguments: Iterable[Path], rules: StartRules) -> tuple[ListedFilm, ...]:
    """Return the films of a count in the order of their starts, after a look at each header.

    Raises: UserError if a start is not known, or if two films overlap; DriverError if a film cannot be opened.
    """
    found = [FoundFilm(path=path, header=read_header(path)) for path in find_films(arguments)]
    return order_films(found, rules)


def order_films(found: Sequence[FoundFilm], rules: StartRules) -> tuple[ListedFilm, ...]:
    """Return the films in the order of their starts. Raises: UserError if a start is not known, or two films overlap."""
    starts = list(_starts(found, rules))
    zone = rules.time_zone or starts[0][1].tzinfo
    names: set[str] = set()
    films = []
    for film, start, source in sorted(starts, key=lambda one: one[1]):
        name = _unique_name(printable_name(film.path.stem), names)
        names.add(name.casefold())
        films.append(
            ListedFilm(
                name=name,
                path=film.path,
                header=film.header,
                start=with_fixed_offset(start, zone),
                start_source=source,
                warnings=tuple(header_warnings(film.path, film.header)),
            )
        )
    for first, second in pairwise(films):
        overlap_s = (first.end - second.start).total_seconds()
        if overlap_s > MAX_OVERLAP_S:
            raise UserError(
                f"{second.path}: starts at {second.start.isoformat()}, {overlap_s:.0f} s before the end of "
                f"{first.path}; allowed: an overlap of {MAX_OVERLAP_S:g} s"
            )
    return tuple(films)


def with_fixed_offset(time: datetime, zone: tzinfo | None) -> datetime:
    """Return a time by the clock of a zone, with the offset that holds then."""
    local = time.astimezone(zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()))


def _films_of(argument: Path) -> list[Path]:
    if not argument.is_dir():
        return [argument]
    # `._NAME.mp4` of a Mac is no film.
    films = [
        file
        for file in argument.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    if not films:
        raise UserError(
            f"{argument}: has no film; allowed: files that end in {', '.join(sorted(SUFFIXES))}"
        )
    return sorted(films, key=lambda film: _natural_key(film.name))


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by value: `film2` before `film10`."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), part) if part.isdecimal() else (-1, part.casefold()) for part in parts]


def printable_name(name: str) -> str:
    """Return a file's name as text: names of files are bytes, of which not all are UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _unique_name(stem: str, taken: set[str]) -> str:
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    return name


def _starts(
    found: Sequence[FoundFilm], rules: StartRules
) -> Iterator[tuple[FoundFilm, datetime, StartSource]]:
    if rules.start is not None:
        yield from _starts_in_sequence(found, rules.start)
    elif rules.name_pattern is not None:
        for film in found:
            yield film, _start_of_name(film.path, rules.name_pattern, rules.time_zone), "name"
    else:
        for film in found:
            yield film, _start_of_metadata(film), "metadata"


def _starts_in_sequence(
    found: Sequence[FoundFilm], start: datetime
) -> Iterator[tuple[FoundFilm, datetime, StartSource]]:
    begin = start.astimezone(UTC)
    for index, film in enumerate(found):
        yield film, begin.astimezone(start.tzinfo), "sequence" if index else "given"
        if film.header.duration_s <= 0 and index < len(found) - 1:
            raise UserError(
                f"{film.path}: its header does not name its length, so that the start of the next film is not known; "
                "allowed: --name-pattern, or this film as the last"
            )
        begin += timedelta(seconds=film.header.duration_s)


def _start_of_name(path: Path, pattern: str, time_zone: ZoneInfo | None) -> datetime:
    try:
        start = datetime.strptime(path.stem, pattern)  # noqa: DTZ007 - its zone follows
    except ValueError:
        raise UserError(
            f"{path}: its name does not match --name-pattern {pattern!r}; allowed: the whole name without suffix, as "
            "strptime(3) reads it, such as cam1_%Y%m%d_%H%M%S"
        ) from None
    if start.tzinfo is None:
        if time_zone is None:
            raise UserError(
                f"--name-pattern {pattern!r}: has no offset from UTC (%z); allowed: with --time-zone, such as Europe/London"
            )
        start = _local_time(path, start, time_zone)
    return _checked(path, start, "its name")


def _local_time(path: Path, wall: datetime, zone: ZoneInfo) -> datetime:
    """Return a wall clock's time in a zone, the earlier one if the clock showed it twice."""
    start = wall.replace(tzinfo=zone)
    if start.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        raise UserError(
            f"{path}: the clock of {zone.key} never showed {wall.isoformat(' ')}; allowed: the right --time-zone"
        )
    return start


def _start_of_metadata(film: FoundFilm) -> datetime:
    text = film.header.creation_time
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        raise UserError(
            f"{film.path}: has no creation time in its metadata; allowed: --start or --name-pattern"
        )
    return _checked(film.path, start, "its metadata")


def _checked(path: Path, start: datetime, source: str) -> datetime:
    if not FIRST_START <= start < END_OF_STARTS:
        raise UserError(
            f"{path}: starts at {start.isoformat()} by {source}; allowed: from 2000 to 2099: --start or --name-pattern"
        )
    return start
