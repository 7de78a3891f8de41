"""The verifying page, in a real browser without a network, on the same vectors."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.recording.export.verify import verify_export
from tests.vectors.make import ExportVectors

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from tests.vectors.browser import VerifierPage

PAGE = Path(__file__).parents[2] / "agent" / "recording" / "export" / "verifier.html"


@pytest.fixture(scope="module")
def page(
    vectors: ExportVectors, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VerifierPage]:
    verifier = VerifierPage(PAGE, tmp_path_factory.mktemp("profile"))
    head = vectors.known_head
    verifier.enter_known_values(vectors.known_key, f"{head.seq}:{head.sha256}")
    yield verifier
    verifier.close()


@pytest.mark.slow
def test_the_page_accepts_the_good_export_in_three_languages(
    vectors: ExportVectors, page: VerifierPage
) -> None:
    for good in (vectors.masked, vectors.busy, vectors.set_back, vectors.good):
        assert page.check_folder(good.folder) is None, good.name
    assert [page.choose_language(lang) for lang in ("fr", "ar", "en")] == ["ltr", "rtl", "ltr"]
    page.choose_language("ar")
    assert "لم يُكتشف أي تغيير." in page.page_text()
    page.choose_language("fr")
    assert "Aucune altération détectée." in page.page_text()
    page.choose_language("en")
    for words in ("No alteration was found.", vectors.known_key, "casa-0001", "balconies-3"):
        assert words in page.page_text()
    assert page.console_messages() == []


@pytest.mark.slow
def test_the_page_names_each_tampered_copys_defect(
    vectors: ExportVectors, page: VerifierPage
) -> None:
    found = {one.name: page.check_folder(one.folder) for one in vectors.tampered}
    assert found == {one.name: one.problem for one in vectors.tampered}
    assert "Verification failed: the integrity" in page.page_text()
    assert page.console_messages() == []


@pytest.mark.slow
@pytest.mark.parametrize("piece_bytes", [1, 63, 64, 100, 4096])
def test_a_large_file_is_hashed_in_chunks(page: VerifierPage, piece_bytes: int) -> None:
    sizes = [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000, 5000]
    assert page.hash_in_pieces(sizes, piece_bytes) == [
        hashlib.sha256(bytes(at % 251 for at in range(size))).hexdigest() for size in sizes
    ]


@pytest.mark.slow
def test_both_verifiers_call_a_forgery_consistent_without_a_known_key(
    vectors: ExportVectors, page: VerifierPage
) -> None:
    (forged,) = (one for one in vectors.tampered if one.name == "all_of_it_signed_by_another_key")
    assert verify_export(forged.folder).ok
    page.enter_known_values("", "")
    try:
        assert page.check_folder(forged.folder) is None
        assert "its origin is not verified" in page.page_text()
    finally:
        head = vectors.known_head
        page.enter_known_values(vectors.known_key, f"{head.seq}:{head.sha256}")
    # A mistyped key is refused too, and an invalid head is not ignored.
    page.enter_known_values("", "12:half of a hash")
    assert page.read_problem() == "head"
    page.enter_known_values(vectors.known_key, f"{head.seq}:{head.sha256}")
    # A key that is pasted later counts at once.
    assert page.read_problem() == "key"


@pytest.mark.slow
def test_a_chain_head_outside_the_export_does_not_count_as_checked(
    vectors: ExportVectors, page: VerifierPage
) -> None:
    head = vectors.known_head
    page.choose_language("en")
    try:
        page.enter_known_values(vectors.known_key, f"9999:{head.sha256}")
        assert page.check_folder(vectors.good.folder) is None
        for words in ("the chain head was not verified", "not among the receipts"):
            assert words in page.page_text()
        assert "No alteration was found." not in page.page_text()
    finally:
        page.enter_known_values(vectors.known_key, f"{head.seq}:{head.sha256}")
    assert page.read_problem() is None
    assert "No alteration was found." in page.page_text()


@pytest.mark.slow
def test_the_page_inside_the_export_is_identical_and_verifies_it(
    vectors: ExportVectors, tmp_path: Path
) -> None:
    inside = vectors.good.folder / "verify.html"
    assert inside.read_bytes() == PAGE.read_bytes()
    verifier = VerifierPage(inside, tmp_path / "profile")
    try:
        assert verifier.check_folder(vectors.good.folder) is None
    finally:
        verifier.close()
