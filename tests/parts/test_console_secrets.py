"""centre.provisioning.console_secrets: the list of all boxes' secrets, and a box's secret in it."""

import base64
from pathlib import Path

import pytest

from agent.base.errors import UserError
from centre.provisioning.console_secrets import format_list, read_secret

SECRETS = {
    f"casa-000{number}": base64.b64encode(bytes([number] * 32)).decode() + "\n" for number in (1, 2)
}


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_boxs_secret_is_found_in_the_list(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", format_list(SECRETS))
    assert read_secret(path, "casa-0002") == bytes([2] * 32)


def test_a_file_with_one_secret_is_that_secret(tmp_path: Path) -> None:
    path = write(tmp_path / "casa-0001.secret", SECRETS["casa-0001"].encode())
    assert read_secret(path, "casa-0001") == bytes([1] * 32)


@pytest.mark.parametrize(
    ("data", "mode", "problem"),
    [
        (format_list(SECRETS), 0o600, "box 'casa-0003' is not in the list"),
        (format_list(SECRETS), 0o644, "mode 644; allowed: 600 or 640"),
        (format_list({"casa-0003": "c2hvcnQ="}), 0o600, "5 bytes; allowed: 16 or more"),
        (b"box.id,console.secret\ncasa-0003,c2hvcnQ\xff\n", 0o600, "not base64"),
    ],
)
def test_a_list_without_a_good_secret_is_refused(
    tmp_path: Path, data: bytes, mode: int, problem: str
) -> None:
    path = write(tmp_path / "list.csv", data, mode)
    with pytest.raises(UserError) as error:
        read_secret(path, "casa-0003")
    assert problem in str(error.value)
    assert "c2hvcnQ" not in str(error.value)
