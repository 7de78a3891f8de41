"""agent.detection.class_names: each file of a model's metadata is looked at, or the model is refused."""

import io
import zipfile

import pytest

from agent.base.errors import UserError
from agent.config.names import refuse_identifying
from agent.detection.class_names import (
    MAX_BYTES,
    MAX_FILES,
    MAX_NAME_CHARS,
    MAX_NAMES,
    read_class_names,
)
from agent.detection.model_card import MODELS_FOLDER, ModelRefused

MODEL = (MODELS_FOLDER / "nanodet_320.tflite").read_bytes()[-100_000:]


def with_metadata(*files: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A model's file: its ending, and the archive of its metadata behind it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as writer:
        for name, data in files:
            writer.writestr(name, data)
    return MODEL + archive.getvalue()


def test_a_model_without_metadata_names_no_class() -> None:
    assert read_class_names("own", MODEL) == ()
    assert read_class_names("own", b"") == ()


def test_names_are_the_lines_of_all_files() -> None:
    content = with_metadata(
        ("labels.txt", b"\xef\xbb\xbfcar\r\n\r\n bus \n"), ("more", "piéton".encode())
    )
    assert read_class_names("own", content) == ("car", "bus", "piéton")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "files",
    [
        pytest.param([("labels.TXT", b"car\nface\n")], id="another case"),
        pytest.param([("labels", b"face\n")], id="no suffix"),
        pytest.param([("a/b/labels.csv", b"face")], id="in a folder"),
        pytest.param([("labels.txt", b"car\n" * 4000 + b" " * 100_000 + b"\nface\n")], id="large"),
        pytest.param(
            [*((f"{n}.txt", b"car\n") for n in range(MAX_FILES - 1)), ("z", b"face")], id="last"
        ),
        pytest.param([("labels.txt", b"car"), ("labels.txt", b"face")], id="of the same name"),
    ],
)
def test_a_class_that_identifies_people_is_found_in_each_file(
    files: list[tuple[str, bytes]],
) -> None:
    with pytest.raises(UserError, match="'face': identifies people"):
        refuse_identifying("class", read_class_names("own", with_metadata(*files)))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([(f"{n}", b"x") for n in range(MAX_FILES + 1)], f"65 files; allowed: {MAX_FILES}$"),
        ([("labels.txt", bytes(MAX_BYTES + 1))], f"more than {MAX_BYTES} bytes; allowed: "),
        ([("a", b"\n" * 600_000), ("b", b"\n" * 600_000)], f"more than {MAX_BYTES} bytes"),
        ([("labels.txt", b"x\n" * (MAX_NAMES + 1))], f"4097 class names; allowed: {MAX_NAMES}$"),
        ([("labels.txt", b"x" * 300)], f"a line of 300 characters; allowed: {MAX_NAME_CHARS}$"),
        ([("labels.txt", "face".encode("utf-16-le"))], "a line that cannot be printed"),
        ([("labels.txt", b"pi\xe9ton")], "codec can't decode"),
    ],
)
def test_metadata_that_cannot_be_read_as_names_is_refused(
    files: list[tuple[str, bytes]], problem: str
) -> None:
    with pytest.raises(ModelRefused, match=rf"^model 'own': its metadata: .*{problem}"):
        read_class_names("own", with_metadata(*files))


def test_a_damaged_archive_is_refused() -> None:
    content = bytearray(with_metadata(("labels.txt", b"face\n" * 20)))
    for place in (len(MODEL) + 45, content.index(b"PK\x01\x02") + 1):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        with pytest.raises(ModelRefused, match=r"^model 'own': its metadata: "):
            read_class_names("own", bytes(damaged))
