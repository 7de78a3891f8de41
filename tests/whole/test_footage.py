"""`vigie footage` on a box that has recorded: its output and its errors."""

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from agent.__main__ import main
from agent.recording.encryption.keys import generate_key_pair, parse_public_key
from agent.recording.export.head_coverage import format_head
from tests.vectors.stolen_key import arrival_ms
from tests.vectors.street import StreetBox
from tests.vectors.workbench import Workbench

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "footage.md").read_text(encoding="utf-8")
SPAN = ["--camera", "north", "--from", "2026-11-25T01:00:05Z", "--to", "2026-11-25T01:00:11Z"]
WHO = ["--by", "Y. Alaoui", "--purpose", "case 2026/118"]
EXPORT = ["export", "--state", "state", *SPAN, *WHO, "--out", "out"]
REASON = "case [/118]"
"""A word in brackets, which a table could take for markup."""

HOLD = ["hold", "--state", "state", *SPAN, "--by", "Y. Alaoui", "--reason", REASON]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    box = StreetBox(folder / "state", "casa-0001")
    box.record("north", 1, 14)
    box.append_attested("north")
    box.append_gap("north")
    return folder


@pytest.fixture
def here(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the state of such a box, which is where we are."""
    shutil.copytree(recorded / "state", tmp_path / "state")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


Captured = pytest.CaptureFixture[str]


def footage(*words: str) -> int:
    return main(["footage", *words])


def reported(capsys: Captured) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pictures(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").tobytes() for frame in container.decode(video=0)]


@pytest.mark.usefixtures("here")
def test_segments_are_listed_with_time_range_and_total(capsys: Captured) -> None:
    assert footage("list", "--state", "state", "--json") == 0
    listed = reported(capsys)
    assert [one["begin_time"] for one in listed] == [
        f"2026-11-25T01:00:{second:02d}.000Z" for second in (0, 4, 8, 12)
    ]
    assert listed[-1]["end_time"] == "2026-11-25T01:00:14.000Z"
    assert {(one["sealed"], one["writing"], one["clock_synced"]) for one in listed} == {
        (False, False, True)
    }
    assert all(one["sha256"] for one in listed)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("begin", "end", "count"),
    [
        ("2026-11-25T01:00:03Z", "2026-11-25T01:00:05Z", 2),
        ("2026-11-25T02:00:04+01:00", "2026-11-25T02:00:08+01:00", 1),
        ("2026-11-25T01:00:14Z", "now", 0),
        ("2026-11-25T00:00:00Z", "2026-11-25T01:00:00Z", 0),
        ("2026-11-25T01:00:13.999Z", "2026-11-25T01:00:20Z", 1),
    ],
)
def test_a_time_range_includes_every_segment_that_touches_it(
    capsys: Captured, begin: str, end: str, count: int
) -> None:
    words = ["list", "--state", "state", "--json", "--from", begin, "--to", end]
    assert footage(*words) == (0 if count else 1)
    assert len(reported(capsys)) == count


def test_an_export_plays_verifies_and_is_in_the_chain(here: Path, capsys: Captured) -> None:
    before = tree(here / "state" / "footage")
    assert footage(*EXPORT, "--json") == 0
    (made,) = reported(capsys)
    assert made["excluded"] == {}
    assert footage("verify", "out", "--json") == 0
    (verdict,) = reported(capsys)
    assert (verdict["ok"], verdict["segment_count"]) == (True, 2)
    assert len(pictures(Path("out/clip.mp4"))) == 80
    chain = next((here / "state" / "custody").glob("*.chain")).read_bytes().splitlines()
    assert b'"kind":"exported"' in chain[-1]
    assert chain[-1] == Path("out/receipts.chain").read_bytes().splitlines()[-1]
    assert tree(here / "state" / "footage") == before
    assert sorted(path.name for path in here.iterdir()) == ["out", "state"]


@pytest.mark.usefixtures("here")
def test_two_exports_of_one_box_both_verify() -> None:
    assert footage(*EXPORT) == 0
    assert footage(*EXPORT[:-1], "again") == 0
    assert footage("verify", "out") == footage("verify", "again") == 0


@pytest.mark.usefixtures("here")
def test_a_verification_compares_with_the_known_key_and_chain_head(capsys: Captured) -> None:
    assert footage(*EXPORT) == 0
    capsys.readouterr()
    key = json.loads(Path("out/manifest.json").read_bytes())["public_key"]
    assert footage("verify", "out", "--public-key", key) == 0
    assert "compare" not in capsys.readouterr().out
    assert footage("verify", "out", "--public-key", "A" * 43 + "=") == 1
    assert "BROKEN: key" in capsys.readouterr().out
    assert footage("verify", "out", "--head", f"10:{'0' * 64}") == 1
    assert "BROKEN: head" in capsys.readouterr().out


def test_an_export_into_the_current_folder_works(
    here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = here / "empty"
    out.mkdir()
    monkeypatch.chdir(out)
    words = ["../state" if word == "state" else word for word in EXPORT[:-1]]
    assert footage(*words, ".") == 0
    assert f"vigie footage verify {out}, or" in capsys.readouterr().out
    assert footage("verify", str(out)) == 0
    assert sorted(path.name for path in here.iterdir()) == ["empty", "state"]


@pytest.mark.usefixtures("here")
def test_the_open_segment_is_left_out_and_reported(capsys: Captured) -> None:
    last = max(Path("state/footage/north").glob("*.mp4"))
    last = last.with_name(last.name.replace("0000000004", "0000000005"))
    Path(f"{last}.part").write_bytes(b"the begin of a file")
    assert footage("list", "--state", "state") == 0
    assert " now " in capsys.readouterr().out
    words = [word.replace("01:00:11Z", "01:01:00Z") for word in EXPORT]
    assert footage(*words) == 0
    assert f"left out: {last.name}: is still being written" in capsys.readouterr().out
    words = ["export", "--state", "state", "--camera", "north", *WHO, "--out", "late"]
    late = ["--from", "2026-11-25T01:00:14Z", "--to", "2026-11-25T01:01:00Z"]
    assert footage(*words, *late) == 1
    assert "is still being written" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_footage_without_its_receipt_is_left_out(capsys: Captured) -> None:
    folder = Path("state/footage/north")
    first = min(folder.glob("*.mp4"))
    stray = first.with_name(first.name.replace("0000000001", "0000000009"))
    shutil.copyfile(first, stray)
    words = [word.replace("01:00:05Z", "01:00:00Z") for word in EXPORT]
    assert footage(*words) == 0
    assert f"left out: {stray.name}: has no receipt" in capsys.readouterr().out
    assert footage("verify", "out") == 0


@pytest.mark.usefixtures("here")
def test_a_segment_changed_on_the_box_is_detected(capsys: Captured) -> None:
    path = sorted(Path("state/footage/north").glob("*.mp4"))[1]
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    assert footage(*EXPORT) == 0
    assert footage("verify", "out") == 1
    assert f"BROKEN: segment: {path.name}" in capsys.readouterr().out


def test_unmasked_segments_stay_in_the_box_and_the_clip_is_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    box = StreetBox(Path("state"), "casa-0001")
    box.masks = (((0.0, 0.0), (0.6, 0.0), (0.6, 0.6), (0.0, 0.6)),)
    box.record("north", 1, 14)
    assert footage(*EXPORT) == 0
    assert "2 segments withheld" in capsys.readouterr().out
    assert sorted(path.suffix for path in Path("out").rglob("*") if path.is_file()) == [
        "", ".chain", ".html", ".html", ".json", ".mp4",
    ]  # fmt: skip
    shown = pictures(Path("out/clip.mp4"))
    assert len(shown) == 80
    width = 320
    corner = [
        picture[row * width + column] for picture in shown for row in (5, 80) for column in (5, 150)
    ]
    assert max(corner) - min(corner) < 12
    assert footage("verify", "out") == 0
    assert footage(*EXPORT[:-1], "bare", "--unmasked") == 0
    assert len(list(Path("bare/segments").iterdir())) == 2
    assert footage("verify", "bare") == 0
    for masks in Path("state/masks").iterdir():
        masks.unlink()
    assert footage(*EXPORT[:-1], "none") == 1
    assert "all segments are withheld for masks" in capsys.readouterr().err
    assert not Path("none").exists()


@pytest.mark.usefixtures("here")
def test_a_hold_is_listed_until_it_is_released(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert footage("holds", "--state", "state") == 1
    assert footage(*HOLD, "--json") == 0
    (hold,) = reported(capsys)
    assert footage("holds", "--state", "state", "--json") == 0
    assert reported(capsys) == [hold]
    monkeypatch.setenv("COLUMNS", "20")
    assert footage("holds", "--state", "state") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == [hold["id"], "north", hold["begin_time"], "to", hold["end_time"]]
    assert second.endswith(f"{hold['expires']} by Y. Alaoui: {REASON}")
    (kept,) = Path("state/holds").iterdir()
    kept.write_text(json.dumps({**json.loads(kept.read_bytes())["state"], "owner": "A\x1b[8m"}))
    assert footage("holds", "--state", "state") == 0
    assert r"A\x1b[8m" in capsys.readouterr().out
    release = ["release", str(hold["id"]), "--state", "state", "--by", "me", "--reason", "over"]
    assert footage(*release) == 0
    assert footage(*release) == 2
    assert footage("holds", "--state", "state") == 1


def test_encrypted_footage_is_exported_encrypted_and_the_centre_decrypts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    public = parse_public_key(generate_key_pair(Path("centre.pem")), "the centre")
    generate_key_pair(Path("other.pem"))
    StreetBox(Path("state"), "casa-0001", {"centre": public}).record("north", 1, 14)
    assert footage("list", "--state", "state") == 0
    assert "sealed" in capsys.readouterr().out
    assert footage(*EXPORT) == 0
    assert "no clip: " in capsys.readouterr().out
    assert footage("verify", "out") == 0
    assert footage("unseal", "out", "--key", "other.pem", "--out", "plain") == 2
    assert not Path("plain").exists()
    capsys.readouterr()
    assert footage("unseal", "out", "--key", "centre.pem", "--out", "plain", "--json") == 0
    (opened,) = reported(capsys)
    assert len(list(Path("plain").iterdir())) == 3
    assert len(pictures(Path(str(opened["clip"])))) == 80
    assert footage(*EXPORT[:-1], "opened", "--key", "centre.pem") == 0
    assert footage("verify", "opened") == 0
    assert len(list(Path("opened/keys").iterdir())) == 2
    assert pictures(Path("opened/clip.mp4")) == pictures(Path("plain/clip.mp4"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--state", "nowhere"], "'nowhere': no such folder"),
        (["list", "--config", "nowhere.toml"], "'nowhere.toml': No such file"),
        (["list", "--state", "state", "--camera", "south"], "'south': no such camera; allowed: no"),
        (["list", "--state", "state", "--camera", "../x"], "'../x': no such camera"),
        (
            ["list", "--state", "state", "--from", "yesterday"],
            "--from 'yesterday': no time with a zone",
        ),
        (["list", "--state", "state", "--from", "2026-11-25T01:00:05"], "no time with a zone"),
        (["list", "--state", "state", "--from", "2026-13-25T01:00:05Z"], "no time with a zone"),
        (["list", "--state", "state", "--from", "now", "--to", "-10m"], "--to: not after --from"),
        ([*EXPORT, "--to", "-99999d"], "no time with a zone"),
        ([*EXPORT, "--by", " "], "--by ' ': allowed: one line"),
        ([*EXPORT, "--purpose", "a\nb"], "--purpose 'a\\nb': allowed: one line"),
        ([*EXPORT, "--out", "state"], "--out 'state': exists already"),
        ([*EXPORT, "--key", "nowhere.pem"], "'nowhere.pem': No such file"),
        ([*EXPORT, "--key", "state/identity/box.key"], "not an X25519 key"),
        ([*HOLD, "--days", "0"], "--days 0: allowed: a number above 0, up to 90"),
        ([*HOLD, "--camera", "south"], "'south': no such camera"),
        (["release", "x", "--state", "state", "--by", "me", "--reason", "over"], "no such hold"),
        (["verify", "nowhere"], "'nowhere': no such folder"),
        (["verify", "state", "--head", "1:abc"], "--head '1:abc': allowed"),
        (["unseal", "nowhere", "--key", "state/identity/box.key", "--out", "x"], "not an X25519"),
        (["keygen", "--out", "state/identity/box.key"], "File exists"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2_and_loses_nothing(
    here: Path, capsys: Captured, words: list[str], message: str
) -> None:
    before = tree(here)
    assert footage(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("vigie: ")
    assert message in line
    assert tree(here) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*EXPORT, "--from", "-10m", "--to", "now"], "no footage from"),
        (["list", "--state", "state", "--from", "-10m"], "no footage found"),
        (["holds", "--state", "state"], "no holds"),
    ],
)
def test_no_match_gives_one_line_and_exit_code_1(
    here: Path, capsys: Captured, words: list[str], message: str
) -> None:
    before = tree(here)
    assert footage(*words) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert message in line
    assert tree(here) == before


def test_a_folder_without_an_agents_state_gets_no_key(here: Path, capsys: Captured) -> None:
    shutil.rmtree(here / "state" / "identity")
    assert footage(*EXPORT) == 2
    assert "no agent has run here" in capsys.readouterr().err
    assert not (here / "state" / "identity").exists()


def test_only_the_agents_own_user_may_add_to_the_chain(here: Path, capsys: Captured) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs to give a file away")
    os.chown(here / "state" / "identity" / "box.key", 4242, 4242)
    for words in (EXPORT, HOLD):
        assert footage(*words) == 2
        assert "sudo -u '#4242'" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_progress_bar_is_drawn_on_a_terminal_only() -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80"}
    command = [sys.executable, "-m", "agent", "footage", *EXPORT[:-1]]
    quiet = subprocess.run([*command, "one"], env=environ, capture_output=True, check=True)
    assert quiet.stderr == b""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*command, "two"], env=environ, stdout=subprocess.PIPE, stderr=theirs, stdin=theirs
    )
    os.close(theirs)
    drawn = b"".join(_read(ours))
    assert child.stdout is not None
    assert b"2 segments" in child.stdout.read()
    child.stdout.close()
    assert child.wait() == 0
    assert b"exporting" in drawn


def _read(terminal: int) -> Iterator[bytes]:
    try:
        while data := os.read(terminal, 4096):
            yield data
    except OSError:  # the other end has closed
        return
    finally:
        os.close(terminal)


EXAMPLES = [
    (command, message)
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for command, message in re.findall(
        r"^\$ vigie footage (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE
    )
]


@pytest.mark.usefixtures("here")
def test_the_examples_on_the_page_match_the_output(capsys: Captured) -> None:
    assert len(EXAMPLES) == 8
    for command, message in EXAMPLES:
        words = shlex.split(command)
        if words[0] == "keygen":
            StreetBox(Path("sealed"), "casa-0002", _recipients()).record("north", 1, 14)
            sealed = ["sealed" if word == "state" else word for word in EXPORT[:-1]]
            assert footage(*sealed, "sealed-evidence") == 0
            continue
        if words[0] == "unseal":
            assert footage(*[word.replace("evidence", "sealed-evidence") for word in words]) == 0
            continue
        if words[:2] == ["verify", "tampered"]:
            shutil.copytree("evidence", "tampered")
            bench = Workbench(Path("tampered"), None, None)  # type: ignore[arg-type]
            bench.change_text(bench.index("gap"), "the disk was slow", "no gap")
        if "--public-key" in words:
            bench = Workbench(Path("evidence"), None, None)  # type: ignore[arg-type]
            words[words.index("--public-key") + 1] = bench.manifest["public_key"]
            heads = [f"{format_head(head)}\n" for head in bench.heads(arrival_ms)[:-2]]
            Path("heads.txt").write_text("".join(heads))
        capsys.readouterr()
        assert footage(*words) == (1 if "BROKEN" in message else 0)
        assert _alike(capsys.readouterr().out) == _alike(message)


def _recipients() -> dict[str, object]:
    return {"centre": parse_public_key(generate_key_pair(Path("centre.pem")), "the centre")}


def _alike(text: str) -> list[str]:
    """Without what differs from run to run."""
    for varies in (
        r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        r"[A-Za-z0-9+/]{43}=",
        r"until .*",
        r"\d+\.\d MB",
        r" +\d+\.\d  ",
    ):
        text = re.sub(varies, "?", text)
    return [line.rstrip() for line in text.strip().splitlines()]
