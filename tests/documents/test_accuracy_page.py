"""docs/accuracy.md: each part is there once, between its markers, and written by the command that the page names."""

import re
from pathlib import Path

import pytest

from bench import labelled_counts
from bench.__main__ import BENCH_PART, insert_part
from bench.accuracy_report import SECTIONS, part_name
from tests.doc_pages import ROOT, read_page
from tests.pure.test_validation_report import report

MARKERS = re.compile(r"^<!-- ([\w ]+): (begin|end) -->$", re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "parts"),
    [
        ("accuracy.md", [*map(part_name, SECTIONS), labelled_counts.PART]),
        ("performance.md", [BENCH_PART]),
    ],
)
def test_a_page_has_the_parts_that_a_command_writes_once_each(page: str, parts: list[str]) -> None:
    markers = MARKERS.findall(read_page(page))
    assert [name for name, kind in markers if kind == "end"] == [name for name, _ in markers[::2]]
    assert all(kind == "begin" for _, kind in markers[::2])
    assert sorted(name for name, _ in markers[::2]) == sorted(parts)


@pytest.mark.parametrize(
    ("target", "module"),
    [("accuracy", "bench.accuracy_report"), ("validate", "bench.labelled_counts")],
)
def test_the_command_that_the_page_names_runs_the_module_that_writes_it(
    target: str, module: str
) -> None:
    assert f"`make {target}`" in read_page("accuracy.md")
    recipe = re.search(
        rf"^{target}: .*\n((?:\t.*\n)+)",
        (ROOT / "Makefile").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert recipe is not None
    assert f"-m {module} " in recipe[1]


def test_a_part_is_written_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    part = "<!-- {0}: begin -->\n\nold {0}\n\n<!-- {0}: end -->\n"
    page.write_text(f"# Title\n\n{part.format('one')}{part.format('two')}text\n", encoding="utf-8")
    insert_part(page, "two", "new")
    assert page.read_text(encoding="utf-8") == (
        f"# Title\n\n{part.format('one')}{part.format('two').replace('old two', 'new')}text\n"
    )
    with pytest.raises(ValueError, match="has no <!-- three: begin --> and <!-- three: end -->"):
        insert_part(page, "three", "new")


def test_the_part_on_labelled_films_has_the_figures_of_a_validation() -> None:
    text = labelled_counts.to_markdown(report(), "0a1b2c3d", "4e5f6071")
    assert text.startswith("Measured on 2026-12-01: 2 films of 20 s in all, 3 sure crossings")
    assert "model nanodet_320; source of the pipeline 0a1b2c3d, of the rules 4e5f6071." in text
    assert "| all | 2 | 1 | 1 | 66.7% | 20.8% to 93.9% | 75.0% |" in text
    assert "| at night | 0 | 1 | 0 | 0.0% |" in text
    assert "| truck | 1 | 0 | 0 |" in text
    assert "Found and counted as another class: 1 of 1 truck as car." in text
    assert "car 2, bus 0, truck 1." in text
