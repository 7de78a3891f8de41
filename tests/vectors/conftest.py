"""The vectors, built once."""

import pytest

from tests.vectors.make import Vectors, make


@pytest.fixture(scope="package")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    return make(tmp_path_factory.mktemp("vectors"))
