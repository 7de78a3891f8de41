"""`vigie count` on films of the rendered street: the same bytes however often it is stopped."""

import csv
import json
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.__main__ import main
from agent.base.count_proof import UnvalidatedCounts
from agent.base.json_decode import decode_json
from agent.config.configuration import DetectConfig
from agent.detection.model_card import find_sha256
from agent.detection.scene import load_scene, scene_digest
from centre.count import parquet, plots
from centre.count.results import CountResult
from centre.count.sample import draw_sample
from centre.count.track_file import read_tracks
from centre.proof_file import write_proof
from tests.count_proofs import count_proof
from tests.turned_film import CLOCKWISE, write_with_matrix
from tests.whole.drawn_clip import FPS, write_street_clip

ROOT = Path(__file__).parents[2]
SCENE = ROOT / "centre" / "demo" / "scenes" / "street.toml"
START = "2026-05-12T08:00+01:00"
LENGTH_S = 8
FILMS = 3
TABLES = {"crossings.csv", "counts.csv", "count.json", "report.html"}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films of the same street, one after the other."""
    folder = tmp_path_factory.mktemp("films")
    write_street_clip(folder / "whole.mp4", FILMS * LENGTH_S)
    with av.open(str(folder / "whole.mp4")) as whole:
        pictures = [picture.to_ndarray(format="yuv420p") for picture in whole.decode(video=0)]
    (folder / "whole.mp4").unlink()
    for index in range(FILMS):
        part = pictures[index * LENGTH_S * FPS : (index + 1) * LENGTH_S * FPS]
        write_film(folder / f"street {index + 1}.mp4", part)
    return folder


def write_film(path: Path, pictures: list[np.ndarray], times_s: list[float] | None = None) -> None:
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        for index, planes in enumerate(pictures):
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            time_s = index / FPS if times_s is None else times_s[index]
            picture.pts, picture.time_base = round(time_s * 90_000), Fraction(1, 90_000)
            video.mux(stream.encode(picture))
        video.mux(stream.encode(None))


def arguments(films: Path, out: Path, *more: str) -> list[str]:
    where = ["--scene", str(SCENE), "--out", str(out), "--start", START, "--every", "10s"]
    return ["count", str(films), *where, *more]


def files_of(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def counted(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("counted") / "out"
    assert main(arguments(films, out)) == 0
    return out


@pytest.fixture(scope="module")
def result(counted: Path) -> CountResult:
    return decode_json((counted / "count.json").read_bytes(), CountResult)


def test_the_folder_has_each_table_and_the_tracks_of_each_film(
    counted: Path, result: CountResult
) -> None:
    found = set(files_of(counted))
    assert found >= TABLES
    for film in result.films:
        assert {film.tracks, film.ottrk} <= found
    if parquet.is_installed():
        assert {"crossings.parquet", "counts.parquet"} <= found
        assert {f"tracks/{film.name}.parquet" for film in result.films} <= found


def test_the_report_is_its_owners_alone(counted: Path) -> None:
    assert (counted / "report.html").stat().st_mode & 0o777 == 0o600


def test_the_report_has_the_pictures_of_each_drawn_crossing(
    counted: Path, result: CountResult
) -> None:
    page = (counted / "report.html").read_text(encoding="utf-8")
    drawn = draw_sample(result).crossings
    assert page.count('class="card"') == len(drawn) >= 3
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    assert len(pictures) == 3 * len(drawn) + 1, "and the heat map"
    lines = {crossing.line for crossing in result.crossings}
    assert page.count("data:image/svg+xml") == (2 * len(lines) if plots.is_installed() else 0)


def test_the_films_are_one_after_the_other(result: CountResult) -> None:
    starts = [film.start.isoformat() for film in result.films]
    assert starts == [f"2026-05-12T08:00:{second:02}+01:00" for second in (0, 8, 16)]
    assert [film.name for film in result.films] == ["street 1", "street 2", "street 3"]
    assert all(film.frames == LENGTH_S * FPS for film in result.films)


def test_the_tables_have_what_the_result_has(counted: Path, result: CountResult) -> None:
    with (counted / "crossings.csv").open(newline="") as file:
        crossings = list(csv.DictReader(file))
    assert len(crossings) == len(result.crossings) >= 3
    with (counted / "counts.csv").open(newline="") as file:
        counts = list(csv.DictReader(file))
    assert {row["begin"] for row in counts} == {
        f"2026-05-12T08:00:{second:02}.000+01:00" for second in (0, 10, 20)
    }
    total = Counter({row["line"]: 0 for row in counts})
    for row in counts:
        total[row["line"]] += int(row["count"])
    assert total == Counter({"street": 0, "zebra": 0}) + Counter(row["line"] for row in crossings)


def test_a_crossing_is_of_a_track_of_its_film(counted: Path, result: CountResult) -> None:
    for crossing in result.crossings:
        rows = list(read_tracks(counted / result.films[crossing.film].tracks))
        (row,) = (one for one in rows if (one.track, one.t_s) == (crossing.track, crossing.seen_s))
        assert row.box == crossing.box
        assert crossing.t_s <= crossing.seen_s


def test_with_a_proof_the_tables_have_the_measured_error_and_no_film_is_counted_again(
    films: Path, counted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, scene = find_sha256(DetectConfig().model), scene_digest(load_scene(SCENE))
    proof = count_proof(model_sha256=model, scene_sha256=scene)
    file = write_proof(tmp_path, "north", proof)
    out = Path(shutil.copytree(counted, tmp_path / "out"))
    parts = {path: path.stat().st_mtime_ns for path in (out / ".parts").glob("*.json")}
    assert main(arguments(films, out, "--proof", str(file))) == 0
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    error = "F1 95.6% (89.6% to 98.2%) by day, 7 clips, 11.4% unverifiable"
    assert f"crossings: {error}" in capsys.readouterr().out
    with (out / "counts.csv").open(newline="") as rows:
        found = {(row["validated"], row["f1"], row["clips"]) for row in csv.DictReader(rows)}
    assert found == {("true", "0.956", "7")}


def test_without_a_proof_the_counts_are_not_validated(result: CountResult) -> None:
    (share,) = result.validations
    assert share.validation == UnvalidatedCounts(light="day", reason="no_proof")


def test_replay_counts_the_same_crossings(films: Path, result: CountResult, tmp_path: Path) -> None:
    film = next(film for film in result.films if film.name == "street 2")
    events = tmp_path / "events.jsonl"
    clip = str(films / "street 2.mp4")
    assert main(["replay", clip, "--scene", str(SCENE), "--events", str(events)]) == 0
    lines = [json.loads(line)["data"] for line in events.read_text().splitlines()]
    replayed = Counter(
        (one["name"], one["direction"], one["label"]) for one in lines if one.get("kind") == "line"
    )
    index = result.films.index(film)
    assert replayed == Counter(
        (one.line, one.direction, one.label) for one in result.crossings if one.film == index
    )


def test_two_jobs_that_are_killed_at_any_time_and_started_again_end_with_the_same_bytes(
    films: Path, counted: Path, tmp_path: Path
) -> None:
    out, rng = tmp_path / "out", random.Random()
    command = [sys.executable, "-m", "agent", *arguments(films, out, "--jobs", "2")]
    # The interpreter needs longer to start than the first of them.
    for number, after_s in enumerate((0.05, *(rng.uniform(0.3, 3) for _ in range(5)))):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT if number % 3 == 2 else signal.SIGKILL)
            process.communicate()
        for name, content in files_of(out).items():
            assert content == files_of(counted).get(name, content), name
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert files_of(out) == files_of(counted)


def test_a_film_that_was_counted_is_not_counted_again(
    films: Path, counted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(counted, out)
    before = {path: path.stat().st_ino for path in (out / "tracks").iterdir()}
    assert main([*arguments(films, out), "--every", "1d"]) == 0
    assert {path: path.stat().st_ino for path in (out / "tracks").iterdir()} == before
    result = decode_json((out / "count.json").read_bytes(), CountResult)
    assert len(result.intervals) == 1


def test_a_film_that_was_changed_is_counted_again(
    films: Path, counted: Path, tmp_path: Path
) -> None:
    out, copies = tmp_path / "out", tmp_path / "films"
    shutil.copytree(counted, out)
    shutil.copytree(films, copies)
    shutil.copyfile(films / "street 2.mp4", copies / "street 1.mp4")
    kept = (out / "tracks" / "street 2.csv").stat().st_ino
    assert main(arguments(copies, out)) == 0
    first, second = (out / "tracks" / f"street {number}.csv" for number in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    assert second.stat().st_ino == kept


def test_a_damaged_film_does_not_lose_the_next_one(
    films: Path, counted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, copies = tmp_path / "out", tmp_path / "films"
    copies.mkdir()
    shutil.copyfile(films / "street 2.mp4", copies / "street 2.mp4")
    content = bytearray((films / "street 1.mp4").read_bytes())
    middle = len(content) // 4
    content[middle : middle + len(content) // 2] = bytes(len(content) // 2)
    damaged = copies / "street 1.mp4"
    damaged.write_bytes(content)
    assert main(arguments(copies, out)) == 1
    errors = capsys.readouterr().err
    assert f"video {str(damaged)!r}: is damaged before" in errors
    assert "1 of 2 films could not be counted, and no table was written" in errors
    assert not TABLES & set(files_of(out))
    tracks = Path("tracks", "street 2.csv")
    assert (out / tracks).read_bytes() == (counted / tracks).read_bytes()


def test_the_times_of_a_film_of_variable_rate_are_those_of_its_pictures(
    films: Path, result: CountResult, tmp_path: Path
) -> None:
    with av.open(str(films / "street 2.mp4")) as film:
        pictures = [picture.to_ndarray(format="yuv420p") for picture in film.decode(video=0)]
    kept = [index for index in range(len(pictures)) if index < len(pictures) // 2 or index % 2]
    path = tmp_path / "films" / "variable.mp4"
    path.parent.mkdir()
    write_film(path, [pictures[index] for index in kept], [index / FPS for index in kept])
    assert main(arguments(path.parent, tmp_path / "out")) == 0
    variable = decode_json((tmp_path / "out" / "count.json").read_bytes(), CountResult)
    expected = [one for one in result.crossings if result.films[one.film].name == "street 2"]
    assert expected
    assert [(one.line, one.direction) for one in variable.crossings] == [
        (one.line, one.direction) for one in expected
    ]
    for one, other in zip(variable.crossings, expected, strict=True):
        assert one.t_s == pytest.approx(other.t_s, abs=0.3)


def test_the_display_matrix_of_a_film_is_applied(films: Path, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    write_with_matrix(films / "street 1.mp4", tmp_path / "films" / "phone.mp4", CLOCKWISE)
    assert main(arguments(tmp_path / "films", tmp_path / "out")) == 0
    result = decode_json((tmp_path / "out" / "count.json").read_bytes(), CountResult)
    assert (result.films[0].width_px, result.films[0].height_px) == (360, 640)


def test_what_makes_a_film_unfit_is_said_before_and_in_the_result(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with av.open(str(films / "street 1.mp4")) as film:
        pictures = [picture.to_ndarray(format="yuv420p") for picture in film.decode(video=0)]
    path = tmp_path / "films" / "slow.mp4"
    path.parent.mkdir()
    write_film(path, pictures[::FPS], [float(index) for index in range(LENGTH_S)])
    assert main(arguments(path.parent, tmp_path / "out")) == 0
    result = decode_json((tmp_path / "out" / "count.json").read_bytes(), CountResult)
    (warning,) = (one for one in result.films[0].warnings if "pictures a second" in one)
    assert warning.startswith(f"{path}: 1.")
    assert warning.endswith("crossings are missed; needed: 5, better 10")
    assert f"warning: {warning}\n" in capsys.readouterr().err


def test_a_dark_film_is_warned_of_while_it_is_counted_and_in_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(16, 24, (15 * FPS, 270, 320), np.uint8)
    pictures[:, 180:] = 128
    path = tmp_path / "films" / "\x1b[31mdark.mp4"
    path.parent.mkdir()
    write_film(path, list(pictures))
    assert main(arguments(path.parent, tmp_path / "out")) == 0
    errors = capsys.readouterr().err
    assert "dark.mp4: counts are not to be trusted from 1" in errors
    assert "\x1b" not in errors
    result = decode_json((tmp_path / "out" / "count.json").read_bytes(), CountResult)
    assert [one.reason for one in result.untrusted_shares] == ["dark"]
    assert result.films[0].warnings[-1].endswith("in 1 of 1 minutes: dark")
    assert not any(interval.trusted for interval in result.intervals)


def test_without_pyarrow_parquet_is_left_out_and_one_line_says_so(
    films: Path,
    counted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    shutil.copytree(counted, out, ignore=shutil.ignore_patterns("*.parquet"))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyarrow", None)
        assert main(arguments(films, out)) == 0
    assert f"{parquet.HOW_TO_INSTALL}\n" in capsys.readouterr().err
    assert not list(out.rglob("*.parquet"))
    if parquet.is_installed():
        assert main(arguments(films, out)) == 0
        assert files_of(out) == files_of(counted)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--every", "7m"], "--every '7m': allowed: a part of a day"),
        (["--jobs", "0"], "--jobs 0: allowed: 1 to 64"),
        (["--time-zone", "Mars"], "--time-zone 'Mars': unknown; allowed: such as Europe/London"),
        (["--start", "08:00"], "--start '08:00': allowed: a date"),
        (["--model", "none"], "model"),
    ],
)
def test_a_wrong_argument_is_one_line_and_writes_nothing(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main([*arguments(films, tmp_path / "out"), *more]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()
