"""images.__main__: no image or bundle is built with a version that no box would update from."""

import pytest

from images.__main__ import main


@pytest.mark.parametrize("command", ["build", "bundle"])
@pytest.mark.parametrize("version", ["v1.2", "1.0.0rc1", "1.0.0~rc1", "", "1.2.3.4.5"])
def test_an_invalid_version_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, version: str
) -> None:
    words = ["images", command, "virt", "amd64", "--version", version]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"python -m images: error: --version {version!r}: not a version; "
        "allowed: 1.2.3 or 1.2.3-rc.1"
    )
