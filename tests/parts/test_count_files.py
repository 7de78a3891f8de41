"""Files of a count: CSV, Parquet, tracks and `.ottrk`, and the folder that has them."""

import bz2
import csv
import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.base.model import LABELS, BoundingBox, GroundMotion
from centre.count import parquet
from centre.count.film_list import find_films
from centre.count.folder import CountFolder
from centre.count.join import join_parts
from centre.count.ottrk import write_ottrk
from centre.count.tables import make_tables, write_csv
from centre.count.track_file import COLUMNS, GROUND_COLUMNS, encode_row, read_tracks
from centre.film_player import TrackRecord
from tests.pure.count_rig import START, make_crossing, make_film, make_part, make_settings

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
)


def record(frame: int, track: int, **more: object) -> TrackRecord:
    values: dict[str, object] = {"label": "car", "score": 0.75} | more
    box = BoundingBox(0.25, 0.5, 0.125, 0.25)
    return TrackRecord(t_s=frame / 25, frame=frame, track=track, box=box, **values)  # type: ignore[arg-type]


RECORDS = (
    record(0, 1),
    record(0, 2, label="person"),
    record(3, 1),
    record(5, 1),
    record(5, 3, label="bus"),
)


def write_tracks(path: Path, *records: TrackRecord, is_measured: bool = False) -> Path:
    header = ",".join(COLUMNS + (GROUND_COLUMNS if is_measured else ()))
    rows = [encode_row(one, is_measured=is_measured).decode() for one in records]
    path.write_text("\n".join([header, *rows, ""]))
    return path


def test_tracks_are_read_as_they_were_written(tmp_path: Path) -> None:
    motion = GroundMotion(
        x_m=1.25, y_m=-30.5, error_m=0.1, speed_km_h=None, speed_error_km_h=None, heading_deg=None
    )
    fast = msgspec.structs.replace(motion, speed_km_h=48.5)
    records = (record(0, 1, ground=motion), record(3, 1), record(5, 1, ground=fast))
    rows = list(read_tracks(write_tracks(tmp_path / "a.csv", *records, is_measured=True)))
    assert [(row.t_s, row.frame, row.track, row.label, row.score) for row in rows] == [
        (0.0, 0, 1, "car", 0.75),
        (0.12, 3, 1, "car", 0.75),
        (0.2, 5, 1, "car", 0.75),
    ]
    assert {row.box for row in rows} == {BoundingBox(0.25, 0.5, 0.125, 0.25)}
    assert [(row.x_m, row.y_m, row.speed_km_h) for row in rows] == [
        (1.25, -30.5, None),
        (None, None, None),
        (1.25, -30.5, 48.5),
    ]


def test_an_ottrk_file_keeps_the_rules_of_its_reader(tmp_path: Path) -> None:
    """OTAnalytics: versions as MAJOR.MINOR, times as seconds since 1970, pixels by the top left corner."""
    tracks = write_tracks(tmp_path / "a.csv", *RECORDS)
    film = make_film("street", START, duration_s=60)
    write_ottrk(tracks, tmp_path / "a.ottrk", film, "vigie-0123", 6, "nanodet_320")
    content = json.loads(bz2.decompress((tmp_path / "a.ottrk").read_bytes()))
    metadata, detections = content["metadata"], content["data"]["detections"]
    for version in (metadata["otdet_version"], metadata["ottrk_version"]):
        major, minor = (int(part) for part in version.split("."))
        assert (major, minor) >= (1, 1)
    assert metadata["otdet_version"] == "1.2"
    video = metadata["video"]
    assert video["filename"] + video["filetype"] == "street.mp4"
    assert datetime.fromtimestamp(float(video["recorded_start_date"]), UTC) == START
    assert timedelta(seconds=video["expected_duration"]) == timedelta(minutes=1)
    assert (float(video["recorded_fps"]), float(video["actual_fps"])) == (25.0, 25.0)
    assert (int(video["number_of_frames"]), video["width"], video["height"]) == (6, 640, 360)
    assert metadata["tracking"]["tracking_run_id"] == "vigie-0123"
    assert metadata["tracking"]["frame_group"] == 0
    assert set(metadata["detection"]["model"]["classes"].values()) == set(LABELS)
    assert len(detections) == len(RECORDS)
    order = [(one["frame"], one["occurrence"]) for one in detections]
    assert order == sorted(order)
    for one in detections:
        assert one["class"] in LABELS
        assert 0 <= one["confidence"] <= 1
        assert (one["x"], one["y"], one["w"], one["h"]) == (160, 180, 80, 90)
        assert 1 <= one["frame"] <= video["number_of_frames"]
        assert one["occurrence"] == pytest.approx(START.timestamp() + (one["frame"] - 1) / 25)
        assert one["input_file_path"] == "street.mp4"
        assert one["interpolated-detection"] is False
    for track in (1, 2, 3):
        of_track = [one for one in detections if one["track-id"] == track]
        assert [one["first"] for one in of_track] == [True] + [False] * (len(of_track) - 1)
        assert [one["finished"] for one in of_track] == [False] * (len(of_track) - 1) + [True]


@pytest.mark.parametrize(("fps", "searched"), [(25.0, 10.0), (6.0, 6.0)])
def test_an_ottrk_file_states_the_pictures_a_second_that_were_searched(
    tmp_path: Path, fps: float, searched: float
) -> None:
    tracks = write_tracks(tmp_path / "a.csv")
    write_ottrk(tracks, tmp_path / "a.ottrk", make_film(fps=fps), "vigie-0123", 6, "nanodet_320")
    content = json.loads(bz2.decompress((tmp_path / "a.ottrk").read_bytes()))
    assert content["metadata"]["detection"]["detect_fps"] == searched


def test_a_film_without_tracks_has_an_ottrk_file(tmp_path: Path) -> None:
    tracks = write_tracks(tmp_path / "a.csv")
    write_ottrk(tracks, tmp_path / "a.ottrk", make_film(), "vigie-0123", 6, "nanodet_320")
    content = json.loads(bz2.decompress((tmp_path / "a.ottrk").read_bytes()))
    assert content["data"] == {"detections": []}


def test_csv_has_times_with_offset_and_quotes_names(tmp_path: Path) -> None:
    scene = type(make_settings().scene)
    line = msgspec.structs.replace(make_settings().scene.line[0], name='a "b", c')
    part = make_part(crossings=(make_crossing(1.5, line=line.name),))
    result = join_parts([make_film()], [part], make_settings(scene=scene(line=(line,))))
    crossings, _ = make_tables(result)
    write_csv(crossings, tmp_path / "crossings.csv")
    with (tmp_path / "crossings.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["time"] == "2026-05-12T08:00:01.500+01:00"
    assert (row["line"], row["trusted"], row["speed_km_h"]) == ('a "b", c', "true", "")


@needs_pyarrow
def test_parquet_has_the_values_of_the_csv_in_their_types(tmp_path: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    result = join_parts(
        [make_film()], [make_part(crossings=(make_crossing(1.5),))], make_settings()
    )
    for table in make_tables(result):
        parquet.write_table(table, tmp_path / "table.parquet")
        read = pq.read_table(tmp_path / "table.parquet")
        assert read.column_names == [one.name for one in table.columns]
        assert [tuple(row.values()) for row in read.to_pylist()] == table.rows
    parquet.write_tracks(write_tracks(tmp_path / "a.csv", *RECORDS), tmp_path / "a.parquet")
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.column_names == list(COLUMNS)
    assert read.column("label").to_pylist() == [one.label for one in RECORDS]
    assert read.column("frame").to_pylist() == [one.frame for one in RECORDS]


@needs_pyarrow
def test_an_empty_table_is_a_parquet_file_with_its_columns(tmp_path: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    crossings, *_ = make_tables(join_parts([make_film()], [make_part()], make_settings()))
    parquet.write_table(crossings, tmp_path / "table.parquet")
    assert pq.read_table(tmp_path / "table.parquet").num_rows == 0


def test_films_of_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("film10.mp4", "film2.MP4", "Film1.avi", "notes.txt", "._film2.MP4"):
        (tmp_path / name).touch()
    other = tmp_path / "other.bin"
    assert [film.name for film in find_films([other, tmp_path])] == [
        "other.bin",
        "Film1.avi",
        "film2.MP4",
        "film10.mp4",
    ]


def test_a_film_named_twice_and_a_folder_without_films_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no film; allowed: files that end in"):
        find_films([tmp_path])
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match=r"a\.mp4: named twice"):
        find_films([tmp_path, tmp_path / "a.mp4"])


def test_one_run_at_a_time_writes_a_folder(tmp_path: Path) -> None:
    with (
        CountFolder(tmp_path).locked(["a"]),
        pytest.raises(UserError, match="another run counts there"),
        CountFolder(tmp_path).locked(["a"]),
    ):
        pass
    with CountFolder(tmp_path).locked(["a"]):
        pass


def test_the_count_of_other_films_is_not_overwritten(tmp_path: Path) -> None:
    folder = CountFolder(tmp_path)
    with folder.locked(["a"]):
        folder.write_part("a", make_part())
    with folder.locked(["a", "b"]):
        pass
    with (
        pytest.raises(UserError, match="has the count of 'a', which is not among the films"),
        folder.locked(["b"]),
    ):
        pass


def test_a_part_is_of_its_key_and_of_all_its_files(tmp_path: Path) -> None:
    folder, part = CountFolder(tmp_path), make_part()
    with folder.locked(["a"]):
        folder.write_part("a", part)
        assert folder.read_part("a", part.key) is None
        folder.tracks("a").touch()
        folder.ottrk("a").touch()
        assert folder.read_part("a", part.key) == part
        other = msgspec.structs.replace(part.key, start=START + timedelta(seconds=1))
        assert folder.read_part("a", other) is None
        folder.remove_film("a")
        assert folder.read_part("a", part.key) is None
        assert not folder.tracks("a").exists()


def test_a_damaged_part_is_counted_again(tmp_path: Path) -> None:
    folder = CountFolder(tmp_path)
    with folder.locked(["a"]):
        (tmp_path / ".parts" / "a.json").write_bytes(b'{"key":')
        assert folder.read_part("a", make_part().key) is None
