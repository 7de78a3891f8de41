"""agent.provisioning.settings: all mistakes are reported, a line for each, and no secret in any of them."""

import string
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import toml_writer
from agent.config.configuration import BoxConfig
from agent.provisioning.settings import (
    FILE_NAME,
    MAX_FILE_BYTES,
    MAX_FILES,
    SHM_DIR,
    STATE_DIR,
    InvalidSettings,
    parse_settings,
    read_settings,
    scrub_secrets,
    usable_shm_dir,
)
from tests.settings_files import (
    BOX,
    CENTRE_AUTHORITY,
    CONSOLE_SECRET,
    GOOD_SETTINGS,
    PASSWORD,
    changed_settings,
    make_key,
    to_private_pem,
)

DOCS = Path(__file__).parents[2] / "docs"
KEY, OTHER_KEY = make_key(), make_key()


Data = bytes | str | Callable[[], bytes]


def problems(data: Data) -> tuple[str, ...]:
    if callable(data):
        data = data()
    with pytest.raises(InvalidSettings) as refused:
        parse_settings(data.encode() if isinstance(data, str) else data, FILE_NAME)
    return refused.value.problems


def tried(data: bytes) -> tuple[str, ...] | None:
    """Return the mistakes, or None if there are none."""
    try:
        parse_settings(data, FILE_NAME)
    except InvalidSettings as error:
        return error.problems
    return None


def test_a_valid_settings_file_gives_a_complete_box() -> None:
    good = parse_settings(GOOD_SETTINGS.encode(), FILE_NAME)
    assert (good.box_id, good.broker_url) == (BOX, "mqtts://centre.example:8883")
    assert good.config.time.servers == ("pool.ntp.org",)
    assert sorted(good.embedded.files) == ["ca.pem", "north.scene.toml"]
    assert good.embedded.secrets["north.password"] == PASSWORD
    assert good.data == GOOD_SETTINGS.encode()
    assert good.notes == ("the box makes its own key; its certificate request will be on the card",)


def test_the_example_is_valid_and_shows_every_key() -> None:
    example = read_settings(DOCS / "vigie-settings.example.toml")
    assert example.box_id == "casa-0001"
    text = (DOCS / "vigie-settings.example.toml").read_text()
    for table in (example.config.network, example.config.time, example.config.board):
        for name in set(type(table).__struct_fields__) - {"port"}:
            assert f"\n{name} = " in text or f"\n# {name} = " in text, name
    assert "\n# [[network.port]]" in text


def test_a_file_with_a_byte_order_mark_is_valid() -> None:
    data = b"\xef\xbb\xbf" + GOOD_SETTINGS.replace("\n", "\r\n").encode()
    assert parse_settings(data, FILE_NAME).box_id == BOX


def test_the_state_folder_belongs_to_the_agent() -> None:
    assert BoxConfig(id="x", site="x").state == STATE_DIR


def changed(**tables: dict[str, Any]) -> Callable[[], bytes]:
    """Return what makes a changed file: each worker of the tests collects all tables of cases."""
    return lambda: changed_settings(**tables)


WRONG: list[tuple[Data, str]] = [
    (b"\xff", "not UTF-8 text, at byte 0"),
    (b"[box", "not valid TOML: Expected ']'"),
    (b"a = " + b"[" * 20_000, "not valid TOML: a number or a nesting too large"),
    (b"a = " + b"9" * 5_000, "not valid TOML: a number or a nesting too large"),
    (b"a = " + b"[" * 30 + b"]" * 30, "nested too deeply; allowed: 24 levels"),
    (b"#" * 1_000_001, "too large; allowed: at most 1000000 bytes"),
    (b"", "box: missing; it has to be given"),
    (changed(wifi={"name": "x"}), "wifi: unknown key; allowed: box, broker, camera,"),
    (
        changed(box={"id": "casa_1"}),
        "box.id = 'casa_1': is the host name too; allowed: lower case",
    ),
    (changed(box={"id": "casa-"}), "box.id = 'casa-': is the host name too"),
    (changed(box={"id": "casa\n"}), "box.id = 'casa\\n': allowed: lower case letters"),
    (changed(box={"id": "Casa"}), "box.id = 'Casa': allowed: lower case letters"),
    (changed(box={"id": "a" * 64}), "allowed: lower case letters, digits"),
    (changed(box={"id": "localhost"}), "box.id = 'localhost': is the host name too"),
    (
        changed(box={"state": "/srv"}),
        "box.state = '/srv': not on a partition that survives a reboot; allowed: '/var/lib",
    ),
    (
        changed(record={"folder": "x"}),
        "record.folder: unknown key",
    ),
    (
        changed(broker={"url": "http://x"}),
        "broker.url = 'http://x': not a broker's address",
    ),
    (
        changed(broker={"url": "mqtts://[fd00::1:8883"}),
        "broker.url = 'mqtts://[fd00::1:8883': not",
    ),
    (
        changed(broker={"url": "mqtts://centre]:8883"}),
        "broker.url = 'mqtts://centre]:8883': not",
    ),
    (changed(broker={"key": None}), "broker.key: missing; broker.certificate needs it"),
    (changed(broker={"key": "box.pem"}), "broker.certificate, broker.key: the same file"),
    (
        changed(broker={"ca": "ca.pme"}),
        "broker.ca = 'ca.pme': is not in [files]; there are: ca.pem",
    ),
    (
        changed(broker={"ca": "/etc/ssl/ca.pem"}),
        "broker.ca = '/etc/ssl/ca.pem': lies elsewhere",
    ),
    (
        changed(broker={"ca": "../ca.pem"}),
        "broker.ca = '../ca.pem': lies elsewhere; allowed: the name",
    ),
    (changed(files={"ca.pem": "hello"}), "broker.ca: not a certificate in PEM"),
    (
        changed(files={"box.pem": "hello"}),
        "broker.certificate = 'box.pem': not a certificate in PEM",
    ),
    (
        changed(files={"box.pem": CENTRE_AUTHORITY.sign("casa-2", KEY.public_key())}),
        "broker.certificate = 'box.pem': its name is 'casa-2'; allowed: 'casa-0001', as box.id",
    ),
    (
        changed(
            files={"box.pem": CENTRE_AUTHORITY.sign(BOX, OTHER_KEY.public_key())},
            secrets={"box.key": to_private_pem(KEY)},
        ),
        "broker.certificate, broker.key: the key does not belong to the certificate",
    ),
    (
        changed(secrets={"box.key": to_private_pem(KEY)}),
        "is not in [files], and its key is in [secrets]",
    ),
    (
        changed(secrets={"box.key": "no key"}),
        "broker.key: not a private key in PEM; allowed: its whole",
    ),
    (
        changed(files={"box.key": to_private_pem(KEY)}),
        "files.'box.key': holds a private key; allowed: in [s",
    ),
    (
        changed(files={"north.password": "x"}),
        "secrets.'north.password': is in [files] too",
    ),
    (
        changed(files={"north.password": "x"}, secrets={"north.password": None}),
        "camera[0].options.password_file: is in [files], from where it stays on the card",
    ),
    (
        changed(secrets={"north.password": None}),
        "password_file: is not in [secrets]; there are: ca",
    ),
    (
        changed(secrets={"north.password": "a\nb"}),
        "secrets.'north.password': not a password; allowed: one",
    ),
    (changed(secrets={"console.secret": "?!"}), "secrets.'console.secret': not base64"),
    (
        changed(secrets={"console.secret": "AAAA"}),
        "secrets.'console.secret': 3 bytes; allowed: 16 or",
    ),
    (
        changed(secrets={"console.secret": 7}),
        "secrets.'console.secret': not a text; allowed: the file's",
    ),
    (
        changed(secrets={"../x": "y"}),
        "secrets.'../x': not a file name",
    ),
    (changed(files={"/etc/passwd": "y"}), "files.'/etc/passwd': not a file name"),
    (changed(files={".": "y"}), "files.'.': not a file name"),
    (changed(files={".provisioned": "y"}), "files.'.provisioned': not a file name"),
    (changed(files={"a\0b": "y"}), "files.'a\\x00b': not a file name"),
    (
        changed(files={"x" * 65: "y"}),
        "not a file name; allowed: letters",
    ),
    (
        changed(files={"vigie.toml": "y"}),
        "files.'vigie.toml': reserved by the box",
    ),
    (
        changed(files={"network.toml": "y"}),
        "files.'network.toml': reserved by the box",
    ),
    (
        changed(files={"box.pem.before": "y"}),
        "files.'box.pem.before': reserved by the box",
    ),
    (changed(files={"ca": {"pem": "x"}}), "files.'ca': a table; allowed: \"ca."),
    (
        changed(files={"x": ""}),
        "files.'x': not a text; allowed: the file's text in quotation marks",
    ),
    (
        changed(files={"x": "y" * (MAX_FILE_BYTES + 1)}),
        "256001 bytes; allowed: at most 256000",
    ),
    (
        changed(files={f"x{n}": "y" for n in range(MAX_FILES)}),
        f"files, secrets: {MAX_FILES + 4} files; allowed: at most {MAX_FILES}",
    ),
    (
        b"secrets = 5\n" + GOOD_SETTINGS.split("[secrets]")[0].encode(),
        "secrets: not a table; allowed: [secrets]",
    ),
    (changed(files={"north.scene.toml": "[[lin]]"}), "north.scene.toml: lin: unknown key"),
    (
        changed(network={"adress": "x"}),
        "network.adress: unknown key; allowed: adapter, address",
    ),
    (
        changed(network={"address": "10.0.0.4"}),
        "network.address = '10.0.0.4': not a host address",
    ),
    (
        changed(time={"servers": ["a b"]}),
        "time.servers[0] = 'a b': not a server; allowed: a name such",
    ),
    (
        changed(time={"nts": True, "ca": "time.pem"}),
        "time.ca = 'time.pem': is not in [files]; there are: ca.pem,",
    ),
    (
        changed(time={"pool": "x"}),
        "time.pool: unknown key; allowed: servers, nts, ca",
    ),
    (
        changed(record={"recipient": [{"id": "court", "public_key": "AAAA"}]}),
        "record.recipient: 'court': public_key: 3 bytes; an X25519 public key has 32",
    ),
]


@pytest.mark.parametrize(("data", "message"), WRONG, ids=[message[:60] for _, message in WRONG])
def test_a_mistake_is_one_line_that_names_it(data: Data, message: str) -> None:
    reported = problems(data)
    assert any(message in line for line in reported), reported
    assert all(line.startswith(f"{FILE_NAME}: ") and "\n" not in line for line in reported)


def test_all_mistakes_are_reported_at_once() -> None:
    text = (
        GOOD_SETTINGS.replace('"casa-0001"', '"Casa 1"')
        .replace("rtsp://", "http://")
        .replace('"pool.ntp.org"', '"-"')
        .replace("BEGIN CERTIFICATE", "BEGIN")
        .replace(CONSOLE_SECRET, "short")
        .replace("site =", "sight =")
    )
    text += '\n[[head]]\nname = "mast"\ndriver = "viska"\n[[camera]]\nname = "yard"\n'
    reported = "\n".join(problems(text))
    for message in (
        "box.id = 'Casa 1': allowed: lower case letters",
        "box.sight: unknown key; allowed: id, site, state",
        "box.site: missing; it has to be given",
        "camera[0].options.url = 'http://10.0.0.21/main': allowed: rtsp://HOST[:PORT]/PATH",
        "camera[1].driver: missing; it has to be given",
        "head[0].driver: ptz driver 'viska' is unknown",
        "time.servers[0] = '-': not a server",
        "broker.ca: not a certificate in PEM",
        "secrets.'console.secret': not base64",
    ):
        assert message in reported


def test_a_file_full_of_mistakes_reports_the_first_ones() -> None:
    reported = problems("\n".join(f"key{n} = 1" for n in range(500)))
    assert len(reported) == 41
    assert reported[-1].startswith("and ")


@pytest.mark.parametrize(
    "data",
    [
        changed(broker={"password_file": PASSWORD}),
        changed(broker={"password_file": PASSWORD, "username": 5}),
        changed(console={"secret_file": f"/{PASSWORD}"}),
        changed(broker={"url": f"http://vigie:{PASSWORD.replace(' ', '-')}@centre"}),
        changed(secrets={"north.password": [PASSWORD]}),
        changed(secrets={"north.password": {"x": PASSWORD}}),
        changed(box={"id": PASSWORD}),
        changed(console={"language": PASSWORD}),
        changed(files={"box.pem": "x"}, secrets={"box.key": to_private_pem(KEY)}),
        GOOD_SETTINGS.replace(f'"{PASSWORD}"', f'"{PASSWORD}" x').encode(),
        GOOD_SETTINGS.replace(f'"{PASSWORD}"', PASSWORD).encode(),
        GOOD_SETTINGS.replace(f'"{PASSWORD}"', f'"""{PASSWORD}').encode(),
    ],
)
def test_no_message_contains_a_secret(data: Data) -> None:
    reported = "\n".join(problems(data))
    for secret in (
        PASSWORD,
        PASSWORD.replace(" ", "-"),
        CONSOLE_SECRET,
        *to_private_pem(KEY).split("\n")[1:3],
    ):
        assert secret not in reported
    assert "correct" not in reported


def test_parsed_settings_show_no_secret() -> None:
    shown = f"{parse_settings(GOOD_SETTINGS.encode(), FILE_NAME)!r}{parse_settings(GOOD_SETTINGS.encode(), FILE_NAME).embedded!r}"
    assert "north.password" in shown
    assert PASSWORD not in shown
    assert CONSOLE_SECRET not in shown


def test_without_its_secrets_the_file_is_the_same_and_valid() -> None:
    left = scrub_secrets(tomllib.loads(GOOD_SETTINGS))
    assert left is not None
    assert PASSWORD.encode() not in left
    assert CONSOLE_SECRET.encode() not in left
    before, after = tomllib.loads(GOOD_SETTINGS), tomllib.loads(left.decode())
    assert after.pop("secrets") == dict.fromkeys(before.pop("secrets"), "")
    assert after == before
    assert parse_settings(left, FILE_NAME).notes[:1] == (
        "secrets.'console.secret' is empty: valid only for a box that has it already",
    )
    assert scrub_secrets(tomllib.loads(left.decode())) is None


def test_a_file_without_secrets_keeps_its_comments() -> None:
    assert scrub_secrets(tomllib.loads("# mine\n" + GOOD_SETTINGS.split("[secrets]")[0])) is None


def test_an_unreferenced_file_gives_a_note() -> None:
    assert "file 'ca2.pem' is not used by the configuration" in (
        parse_settings(changed_settings(files={"ca2.pem": "x"}), FILE_NAME).notes
    )


def test_the_console_secret_may_have_an_absolute_path() -> None:
    data = changed_settings(console={"secret_file": "/etc/vigie/console.secret"})
    assert not any("console.secret" in note for note in parse_settings(data, FILE_NAME).notes)


def test_a_password_in_an_address_gives_a_note() -> None:
    text = GOOD_SETTINGS.replace("rtsp://", "rtsp://vigie:hunter2@").replace(
        'username = "vigie"\n', ""
    )
    text = text.replace('password_file = "north.password"\n', "")
    reported = "\n".join(parse_settings(text.encode(), FILE_NAME).notes)
    assert "camera[0].options.url contains a password, which stays on the card" in reported
    assert "hunter2" not in reported


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"x\.toml: No such file or directory"):
        read_settings(tmp_path / "x.toml")


@pytest.mark.skipif(usable_shm_dir(SHM_DIR) is None, reason="needs a folder in memory")
def test_no_secret_is_written_to_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no place for temporary files but that in memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert parse_settings(GOOD_SETTINGS.encode(), FILE_NAME).embedded.secrets


def test_without_a_memory_folder_the_system_default_is_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert usable_shm_dir(tmp_path) == tmp_path
    assert usable_shm_dir(file) is None
    assert usable_shm_dir(tmp_path / "none") is None


VALUES = st.recursive(
    st.one_of(
        st.none().map(lambda _: ""),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.sampled_from(["ca.pem", "north", "/etc/vigie/x", "a\0b", "\x1b[2J", "fake", "../../x"]),
        st.dates(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(string.ascii_lowercase + "._\0\n", max_size=8), inner, max_size=3),
    ),
    max_leaves=6,
)
PLACES = st.sampled_from(
    [
        (table, name)
        for table in (
            "box",
            "broker",
            "network",
            "time",
            "files",
            "secrets",
            "record",
            "console",
            "gpio",
        )
        for name in (
            "id",
            "url",
            "ca",
            "ca.pem",
            "dns",
            "console.secret",
            "folder",
            "key",
            "options",
        )
    ]
    + [
        ("camera", None),
        ("head", None),
        ("pin", None),
        ("secrets", None),
        ("files", None),
        ("x", None),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(PLACES, VALUES), min_size=1, max_size=4))
def test_any_text_is_valid_or_reported_in_printable_lines(
    changes: list[tuple[tuple[str, str | None], Any]],
) -> None:
    tables = tomllib.loads(GOOD_SETTINGS)
    for (table, name), value in changes:
        if name is None:
            tables[table] = value
        elif isinstance(tables.setdefault(table, {}), dict):
            tables[table][name] = value
    reported = tried(toml_writer.dumps(tables).encode())
    assert reported is None or reported
    assert all(line.isprintable() and PASSWORD not in line for line in reported or ())


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
    )
)
def test_any_bytes_are_reported(data: bytes) -> None:
    assert problems(data)
