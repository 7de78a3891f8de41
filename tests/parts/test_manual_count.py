"""The count of a person next to its film: named, saved as a whole, continued, and compared with another person's."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.__main__ import main
from agent.base.errors import UserError
from agent.base.sha256 import file_sha256_hex
from agent.detection.scene import Scene, SceneLine, load_scene
from centre.validate.crossing_truth import TrueCrossing, read_truth
from centre.validate.manual_count import (
    CountConflict,
    CountedFilm,
    CountFile,
    SavedCount,
    choose_line,
    compare_counts,
    count_path,
    open_count,
    read_film,
)
from centre.validate.validation import find_clips
from drivers.errors import DriverError
from drivers.media import Point
from tests.whole.drawn_clip import write_film

FPS, PICTURES = 10, 30
GATE = SceneLine(name="gate / north", start=Point(0.1, 0.5), to=Point(0.9, 0.5))
SCENE = '[[line]]\nname = "gate / north"\nfrom = [0.1, 0.5]\nto = [0.9, 0.5]\nforward_name = "in"\n'


@pytest.fixture(scope="module")
def written_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "street 0800.mp4"
    grey, colour = np.full((36, 64), 90, np.uint8), np.full((18, 32), 128, np.uint8)
    write_film(path, [(grey, colour, colour)] * PICTURES, FPS)
    return path


@pytest.fixture
def film(written_film: Path, tmp_path: Path) -> CountedFilm:
    path = tmp_path / written_film.name
    path.write_bytes(written_film.read_bytes())
    return read_film(path)


def crossings(*times_s: float, label: str = "car") -> tuple[TrueCrossing, ...]:
    return tuple(
        TrueCrossing(t_s=t_s, direction="A->B", label=label, is_sure=True)  # type: ignore[arg-type]
        for t_s in times_s
    )


def save(count: CountFile, found: Sequence[TrueCrossing], counted_s: float = 3.0) -> None:
    count.save(SavedCount(revision=count.revision, counted=counted_s, crossings=tuple(found)))


def test_the_film_has_the_length_of_its_pictures(film: CountedFilm) -> None:
    assert (film.duration_s, film.width_px, film.height_px) == (PICTURES / FPS, 64, 36)
    assert film.fps == FPS


def test_a_film_that_no_browser_plays_is_refused_in_one_line(
    film: CountedFilm, tmp_path: Path
) -> None:
    other = film.path.rename(tmp_path / "street.avi")
    with pytest.raises(
        UserError, match=r"street\.avi': h264 in \.avi: no browser plays it; allowed: h264, "
    ):
        read_film(other)
    (tmp_path / "street.mp4").write_bytes(b"no film")
    with pytest.raises(DriverError, match=r"^film '.*street\.mp4'"):
        read_film(tmp_path / "street.mp4")


def test_a_count_is_saved_next_to_its_film_and_continued(film: CountedFilm) -> None:
    count = open_count(film, "north", GATE, "amina")
    assert not count.path.exists()
    save(count, crossings(2.0, 1.0), 2.5)
    assert count.path == film.path.with_name("street 0800.gate-north.amina.json")
    (clip,) = read_truth(count.path).values()
    assert [one.t_s for one in clip.crossings] == [1.0, 2.0]
    assert (clip.by, clip.view, clip.line_note) == ("amina", "north", "gate / north")
    assert clip.counted_s == 2.5
    assert not any(film.path.parent.glob(".*"))
    again = open_count(film, "north", GATE, "amina")
    assert again.truth == clip
    save(again, (), 3.0)
    assert read_truth(count.path)["street 0800"].crossings == ()


def test_a_page_that_does_not_know_the_newest_save_changes_nothing(film: CountedFilm) -> None:
    count = open_count(film, "north", GATE, "amina")
    save(count, crossings(1.0))
    kept = count.path.read_bytes()
    with pytest.raises(CountConflict, match="another page has saved it"):
        count.save(SavedCount(revision=0, counted=3.0, crossings=()))
    save(open_count(film, "north", GATE, "amina"), crossings(1.0, 2.0))
    with pytest.raises(CountConflict, match="another program has changed it"):
        save(count, ())
    assert len(read_truth(count.path)["street 0800"].crossings) == 2
    assert kept != count.path.read_bytes()


def test_a_crossing_after_the_films_end_is_refused_and_nothing_is_written(
    film: CountedFilm,
) -> None:
    count = open_count(film, "north", GATE, "amina")
    with pytest.raises(UserError, match=r"t = 3\.1: is after the end"):
        save(count, crossings(3.1))
    assert not count.path.exists()
    assert count.revision == 0


def test_a_count_of_another_line_is_not_continued(film: CountedFilm) -> None:
    save(open_count(film, "north", GATE, "amina"), ())
    moved = SceneLine(name="gate / north", start=Point(0.1, 0.6), to=Point(0.9, 0.5))
    with pytest.raises(UserError, match=r"line = \[0\.1, 0\.5, 0\.9, 0\.5\]: allowed: "):
        open_count(film, "north", moved, "amina")


@pytest.mark.parametrize("by", ["", "../amina", "a.b", "a\nb", " amina", "x" * 41])
def test_a_name_that_is_no_part_of_a_files_name_is_refused(by: str) -> None:
    with pytest.raises(UserError, match=r"^--by"):
        count_path(Path("street.mp4"), GATE, by)


@pytest.mark.parametrize("by", ["amina", "أمينة", "Jean-Luc", "counter 2"])
def test_a_name_may_be_of_any_script(by: str) -> None:
    assert count_path(Path("street.mp4"), GATE, by).name == f"street.gate-north.{by}.json"


def test_a_scene_of_several_lines_needs_the_name_of_one() -> None:
    scene = Scene(line=(GATE, SceneLine(name="zebra", start=Point(0, 0), to=Point(1, 1))))
    assert choose_line(scene, "zebra", Path("s.toml")) == scene.line[1]
    with pytest.raises(
        UserError, match="2 lines; allowed: --line with the name of one: 'gate / north', 'zebra'"
    ):
        choose_line(scene, None, Path("s.toml"))
    with pytest.raises(UserError, match="--line 'stop': not in the scene"):
        choose_line(scene, "stop", Path("s.toml"))
    with pytest.raises(UserError, match=r"0 lines; .*: none"):
        choose_line(Scene(), None, Path("s.toml"))


def test_two_counts_are_compared_by_the_command_and_their_agreed_count_is_kept(
    film: CountedFilm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "scene.toml"
    scene.write_text(SCENE)
    line = load_scene(scene).line[0]
    command = ["validate", "count", str(film.path), "--scene", str(scene), "--compare", "amina"]
    save(open_count(film, "north", line, "amina"), crossings(1.0, 2.0))
    assert main([*command, "jonas"]) == 2
    assert "jonas.json': No such file" in capsys.readouterr().err
    save(open_count(film, "north", line, "jonas"), crossings(1.1), 1.0)
    assert main([*command, "jonas"]) == 2
    assert "counted up to 1.0 s of 3.0" in capsys.readouterr().err
    save(open_count(film, "north", line, "jonas"), crossings(1.1))
    assert main([*command, "jonas"]) == 0
    printed = capsys.readouterr().out
    assert "crossings: amina 2, jonas 1, both 1: agreement 66.7%" in printed
    assert "of the 1 of both: not defined" in printed
    assert "0:02.00  amina: car, in; jonas: none" in printed
    assert "--line 'gate / north' --by agreed" in printed
    agreed = film.path.with_name("street 0800.gate-north.agreed.json")
    written = json.loads(agreed.read_bytes())["street 0800"]
    assert written["by"] == "amina, jonas"
    assert [one["sure"] for one in written["crossings"]] == [True, False]
    agreed.write_bytes(agreed.read_bytes() + b"\n")
    assert compare_counts(film.path, line, "amina", "jonas").is_kept
    assert agreed.read_bytes().endswith(b"\n\n")
    validate = ["validate", str(tmp_path), "--truth", str(film.path.parent / "part.json")]
    save(open_count(film, "north", line, "half"), (), 1.0)
    film.path.with_name("street 0800.gate-north.half.json").rename(tmp_path / "part.json")
    assert main([*validate, "--out", str(tmp_path / "out")]) == 2
    assert "street 0800: counted up to 1.0 s of 3.0; allowed: " in capsys.readouterr().err


def test_the_labels_of_a_folder_may_be_a_file_for_each_film(
    film: CountedFilm, tmp_path: Path
) -> None:
    second = film.path.with_name("street 0900.mp4")
    second.write_bytes(film.path.read_bytes())
    truths = []
    for path in (film.path, second):
        count = open_count(read_film(path), "north", GATE, "amina")
        save(count, crossings(1.0))
        truths.append(count.path)
    labelled = find_clips(tmp_path, truths)
    assert list(labelled.clips) == ["street 0800", "street 0900"]
    assert labelled.truth_sha256 == find_clips(tmp_path, truths[::-1]).truth_sha256
    assert find_clips(tmp_path, truths[:1]).truth_sha256 == file_sha256_hex(truths[0])
    with pytest.raises(UserError, match="'street 0800' is in another file too"):
        find_clips(tmp_path, [*truths, truths[0]])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["folder", "x.mp4"], "folder x.mp4: allowed: CLIPS, or count CLIP"),
        (["count", "x.mp4"], "count: --scene: missing"),
        (["count", "x.mp4", "--scene", "s.toml"], "count: allowed: one of --by and --compare"),
        (["count", "x.mp4", "--truth", "t.json"], "count: --truth: allowed: without count"),
        (["folder", "--line", "gate"], "--line: allowed: with count CLIP"),
        (["folder", "--out", "o"], "--truth: missing"),
    ],
)
def test_options_of_the_other_command_are_refused(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", *arguments]) == 2
    assert problem in capsys.readouterr().err
