"""The vectors, built once."""

import pytest

from tests.vectors.make import ExportVectors, build_vectors


@pytest.fixture(scope="package")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> ExportVectors:
    return build_vectors(tmp_path_factory.mktemp("vectors"))
