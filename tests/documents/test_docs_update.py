"""docs/update.md: its commands exist, its configuration and its feed are valid, its shell lines sign one."""

import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agent.__main__ import main
from agent.base import checked_convert
from agent.config.update import UpdateConfig
from agent.update import feed
from agent.update.feed import Feed

PAGE = (Path(__file__).parents[2] / "docs/update.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_every_command_and_option_on_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    shown = set(re.findall(r"vigie update ([a-z]+)", PAGE))
    with pytest.raises(SystemExit):
        main(["update", "--help"])
    there = set(re.findall(r"^    ([a-z]+)  ", capsys.readouterr().out, re.MULTILINE))
    assert shown == there == {"status", "install", "mark", "rollback", "check"}
    message = ""
    for order in sorted(shown):
        with pytest.raises(SystemExit):
            main(["update", order, "--help"])
        message += capsys.readouterr().out
    options = set(re.findall(r"(?<=[ `])--[a-z0-9]+", PAGE))
    assert {option for option in options if option not in message} == set()


def test_the_configuration_on_the_page_is_valid() -> None:
    shown = tomllib.loads(block("toml"))
    assert (
        checked_convert.convert(shown["update"], UpdateConfig, "update.md").window == "01:30-04:30"
    )


def test_the_feed_on_the_page_is_valid() -> None:
    shown = msgspec.json.decode(block("json feed"), type=Feed)
    assert shown.releases[0].version == "2.0.0"
    keys = {key for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for key in key_of(row)}
    fields = [*msgspec.structs.fields(feed.FeedRelease), *msgspec.structs.fields(Feed)]
    explained_by_the_example = {"url", "v", "kind", "releases"}
    assert {field.name for field in fields} - explained_by_the_example <= keys


def key_of(row: str) -> list[str]:
    return re.findall(r"`([a-z0-9_]+)`", row)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_shell_lines_on_the_page_make_a_key_and_sign_a_feed(tmp_path: Path) -> None:
    (tmp_path / "feed.json").write_text(block("json feed"))
    done = subprocess.run(
        ["sh", "-euc", block("sh")], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    public_key = done.stdout.strip()
    reported = feed.verify_feed((tmp_path / "feed").read_bytes(), public_key)
    assert reported.releases[0].compatible == "vigie-pi-arm64"
    now = datetime.now(UTC)
    feed.check_current(reported, now - timedelta(minutes=1), now)
    assert timedelta(days=29) < reported.expires - now < timedelta(days=31)
    msgspec.convert({"feed": "https://h/f", "public_key": public_key}, UpdateConfig)
