"""Starts of films: given, by their names, or by their metadata."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from centre.count.film_list import FoundFilm, ListedFilm, StartRules, order_films
from tests.pure.count_rig import START, make_header

LONDON = ZoneInfo("Europe/London")
PATTERN = "cam1_%Y%m%d_%H%M%S"


def found(*films: tuple[str, float, str]) -> list[FoundFilm]:
    return [
        FoundFilm(path=Path("films", name), header=make_header(length, creation_time=created))
        for name, length, created in films
    ]


def starts(films: tuple[ListedFilm, ...]) -> list[str]:
    return [film.start.isoformat() for film in films]


def test_a_film_begins_when_the_one_before_it_ends() -> None:
    films = order_films(
        found(("b.mp4", 600.5, ""), ("a.mp4", 60, ""), ("c.mp4", 0, "")), StartRules(start=START)
    )
    assert starts(films) == [
        "2026-05-12T08:00:00+01:00",
        "2026-05-12T08:10:00.500000+01:00",
        "2026-05-12T08:11:00.500000+01:00",
    ]
    assert [film.name for film in films] == ["b", "a", "c"]
    assert [film.start_source for film in films] == ["given", "sequence", "sequence"]


def test_after_a_film_of_unknown_length_no_start_is_known() -> None:
    with pytest.raises(UserError, match=r"^films/a.h264: .* length.*; allowed: --name-pattern"):
        order_films(found(("a.h264", 0, ""), ("b.mp4", 60, "")), StartRules(start=START))


def test_a_start_is_read_from_the_name_by_the_clock_of_the_zone() -> None:
    films = order_films(
        found(("cam1_20261025_000000.mp4", 60, ""), ("cam1_20260512_080000.mp4", 60, "")),
        StartRules(name_pattern=PATTERN, time_zone=LONDON),
    )
    assert starts(films) == ["2026-05-12T08:00:00+01:00", "2026-10-25T00:00:00+01:00"]
    assert {film.start_source for film in films} == {"name"}


def test_a_name_with_an_offset_needs_no_zone() -> None:
    (film,) = order_films(
        found(("2026-05-12T0800+0530.mp4", 60, "")), StartRules(name_pattern="%Y-%m-%dT%H%M%z")
    )
    assert starts((film,)) == ["2026-05-12T08:00:00+05:30"]


def test_a_start_is_read_from_the_metadata() -> None:
    films = order_films(
        found(
            ("b.mov", 60, "2026-05-12T09:00:00+0100"), ("a.mp4", 60, "2026-05-12T07:00:00.000000Z")
        ),
        StartRules(time_zone=LONDON),
    )
    assert starts(films) == ["2026-05-12T08:00:00+01:00", "2026-05-12T09:00:00+01:00"]
    assert {film.start_source for film in films} == {"metadata"}


@pytest.mark.parametrize(
    ("name", "created", "rules", "message"),
    [
        ("cam1.mp4", "", StartRules(), "no creation time in its metadata; allowed: --start or"),
        ("cam1.mp4", "yesterday", StartRules(), "no creation time"),
        ("cam1.mp4", "2026-05-12T08:00:00", StartRules(), "no creation time"),
        ("cam1.mp4", "1970-01-01T00:00:00Z", StartRules(), "allowed: from 2000 to 2099"),
        (
            "cam2.mp4",
            "",
            StartRules(name_pattern=PATTERN, time_zone=LONDON),
            "does not match --name-pattern",
        ),
        (
            "cam1_20260512_080000.mp4",
            "",
            StartRules(name_pattern=PATTERN),
            "no offset from UTC .*--time-zone",
        ),
        (
            "cam1_20260329_013000.mp4",
            "",
            StartRules(name_pattern=PATTERN, time_zone=LONDON),
            "never showed 2026-03-29 01:30:00",
        ),
        (
            "cam1_19990512_080000.mp4",
            "",
            StartRules(name_pattern=PATTERN, time_zone=LONDON),
            "allowed: from 2000 to 2099",
        ),
    ],
)
def test_a_start_that_is_not_known_is_one_clear_line(
    name: str, created: str, rules: StartRules, message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        order_films(found((name, 60, created)), rules)
    assert "\n" not in str(refused.value)


def test_films_that_overlap_are_refused() -> None:
    films = found(("cam1_20260512_080000.mp4", 63, ""), ("cam1_20260512_080100.mp4", 60, ""))
    rules = StartRules(name_pattern=PATTERN, time_zone=LONDON)
    with pytest.raises(
        UserError, match=r"080100.mp4: .* 3 s before the end of films/cam1_20260512_080000"
    ):
        order_films(films, rules)
    films[0] = FoundFilm(path=films[0].path, header=make_header(61.9))
    assert len(order_films(films, rules)) == 2


def test_films_of_the_same_name_have_names_of_their_own() -> None:
    films = order_films(
        [FoundFilm(path=Path(folder, "GOPR1.MP4"), header=make_header()) for folder in "abc"],
        StartRules(start=START),
    )
    assert [film.name for film in films] == ["GOPR1", "GOPR1-2", "GOPR1-3"]


def test_a_name_that_is_no_text_is_text_in_the_result() -> None:
    path = Path(b"stra\xdfe.mp4".decode(errors="surrogateescape"))
    (film,) = order_films([FoundFilm(path=path, header=make_header())], StartRules(start=START))
    assert film.name == "stra\ufffde"


@pytest.mark.parametrize(
    ("fps", "width_px", "warnings"),
    [(25, 640, 0), (1, 640, 1), (25, 160, 1), (4.99, 319, 2)],
)
def test_too_few_pictures_and_too_small_ones_are_warned_of(
    fps: float, width_px: int, warnings: int
) -> None:
    header = make_header(fps=fps)
    header = type(header)(
        duration_s=60, fps=fps, width_px=width_px, height_px=100, creation_time=""
    )
    (film,) = order_films([FoundFilm(path=Path("a.mp4"), header=header)], StartRules(start=START))
    assert len(film.warnings) == warnings


@given(
    st.datetimes(datetime.fromisoformat("2026-10-24"), datetime.fromisoformat("2026-10-26")),
    st.lists(st.floats(0.1, 7200), min_size=1, max_size=20),
)
def test_films_in_sequence_leave_no_time_out_when_the_clock_is_put_back(
    naive: datetime, lengths: list[float]
) -> None:
    start = naive.replace(tzinfo=UTC)
    films = order_films(
        found(*((f"{index}.mp4", length, "") for index, length in enumerate(lengths))),
        StartRules(start=start, time_zone=LONDON),
    )
    assert films[0].start == start
    total = films[-1].end - films[0].start
    assert abs(total - timedelta(seconds=sum(lengths))) < timedelta(milliseconds=1)
