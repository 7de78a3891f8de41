"""The servers that clips are sent to."""

from collections.abc import Iterator

import pytest

from tests.whole.uploads.upload_servers import UploadServers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadServers]:
    with UploadServers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers
