"""The verifying page, in a real browser without a network, on the same vectors."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from agent.recording.export.head_coverage import KnownHead, format_head, parse_head
from agent.recording.export.verify import verify_export
from tests.vectors import stolen_key
from tests.vectors.grammar import IMPOSSIBLE_TIMES, POSSIBLE_TIMES
from tests.vectors.make import ExportVectors
from tests.vectors.test_verifiers import forge_clip

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from tests.vectors.browser import VerifierPage

PAGE = Path(__file__).parents[2] / "agent" / "recording" / "export" / "verifier.html"


CONSISTENT = {
    "fr": ("Export cohérent, mais son origine", "un faux complet"),
    "ar": ("التصدير متّسق، لكن مصدره لم يُتحقَّق منه.", "تزويرا كاملا"),
    "en": ("The export is consistent, but its origin is not verified.", "a complete forgery"),
}


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
    for accepted in (*vectors.accepted[1:], vectors.good):
        assert page.check_folder(accepted.folder) is None, accepted.name
    assert page.verdict_color() == "good"
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
    found = {}
    try:
        for one in vectors.tampered:
            page.paste_heads(lines(one.known_heads))
            found[one.name] = page.check_folder(one.folder)
    finally:
        page.paste_heads(lines([vectors.known_head]))
    assert found == {one.name: one.problem for one in vectors.tampered}
    assert "Verification failed: the integrity" in page.page_text()
    assert page.verdict_color() == "bad"
    assert page.console_messages() == []


def lines(heads: Sequence[KnownHead]) -> str:
    return "\n".join(format_head(head) for head in heads)


ALONE = {
    "fr": "ce que le boîtier seul affirme",
    "ar": "هي ما يقوله الصندوق وحده",
    "en": "what the box alone claims",
}


@pytest.mark.slow
def test_both_verifiers_say_what_the_centres_heads_vouch_for(
    vectors: ExportVectors, page: VerifierPage
) -> None:
    heads = vectors.all_heads
    cases = [
        (vectors.good, []),
        (vectors.good, [vectors.known_head]),
        (vectors.good, heads),
        (vectors.good, heads[:4]),
        (vectors.good, [heads[0], heads[9]]),
        (vectors.behind, vectors.behind.known_heads),
        *(
            (one, [head for head in heads if head.seq < stolen_key.UNCOVERED[one.name]])
            for one in vectors.tampered
            if one.name in stolen_key.UNCOVERED
        ),
    ]
    try:
        for vector, known in cases:
            page.paste_heads(lines(known))
            assert page.check_folder(vector.folder) is None
            coverage = verify_export(vector.folder, known_heads=known).coverage
            assert coverage is not None
            assert page.read_coverage() == msgspec.to_builtins(coverage), (vector.name, known)
            for lang, words in ALONE.items():
                page.choose_language(lang)
                assert (words in page.page_text()) == bool(coverage.alone_count)
            if coverage.alone_count and coverage.covered_seq:
                first = coverage.covered_seq + 1
                assert f"Receipts {first} to 17, from {coverage.alone_time} on" in page.page_text()
        page.paste_heads(lines(vectors.behind.known_heads))
        page.check_folder(vectors.behind.folder)
        assert page.verdict_color() == "unsure"
        assert "times contradict those of the centre" in page.page_text()
    finally:
        page.paste_heads(lines([vectors.known_head]))
    assert page.console_messages() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "12",
        f"0:{'0' * 64}",
        f"12:{'0' * 64} yesterday",
        f"12:{'0' * 64} 2026-02-30T00:00:00.000Z",
        f"12:{'0' * 64}  2026-11-25T01:00:18.000Z",
        f"12:{'0' * 64} 2026-11-25T01:00:18.000Z x",
        f"12:{'A' * 64}",
    ],
)
def test_both_verifiers_refuse_a_line_that_is_no_head(page: VerifierPage, text: str) -> None:
    with pytest.raises(ValueError, match=r"the receipt's number|a time such as"):
        parse_head(text)
    assert page.driver.execute_script("return parseHeads(arguments[0]).bad_head", text) == text


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
        assert page.verdict_color() == "unsure"
        for lang, words in CONSISTENT.items():
            page.choose_language(lang)
            for text in words:
                assert text in page.page_text(), lang
        for text in ("No alteration", "the one that the box signed"):
            assert text not in page.page_text()
        # A head without a key cannot make it green: receipts are hashed without their signatures.
        page.enter_known_values("", f"9999:{'0' * 64}")
        assert page.read_problem() is None
        assert page.verdict_color() == "unsure"
        assert CONSISTENT["en"][0] in page.page_text()
    finally:
        head = vectors.known_head
        page.enter_known_values(vectors.known_key, f"{head.seq}:{head.sha256}")
    # A mistyped head is refused too, and an invalid head is not ignored.
    page.enter_known_values("", "12:half of a hash")
    assert page.read_problem() == "head"
    page.enter_known_values(vectors.known_key, f"{head.seq}:{head.sha256}")
    # A key that is pasted later counts at once.
    assert page.read_problem() == "key"


@pytest.mark.slow
def test_the_page_names_and_ignores_the_files_of_file_managers(
    vectors: ExportVectors, page: VerifierPage
) -> None:
    page.choose_language("en")
    assert page.check_folder(vectors.shown.folder) is None
    assert f"Ignored (not part of the export) {', '.join(vectors.ignored)}" in page.page_text()
    assert page.check_folder(vectors.good.folder) is None
    assert "Ignored" not in page.page_text()


@pytest.mark.slow
def test_the_page_reads_the_manifest_and_the_chain_once(
    vectors: ExportVectors, page: VerifierPage, tmp_path: Path
) -> None:
    copy, signed, forged = forge_clip(vectors, tmp_path)
    assert page.check_folder(copy) == "manifest"
    assert page.check_changing("manifest.json", [signed, forged]) == "manifest"
    assert page.check_folder(vectors.good.folder) is None
    chain = (vectors.good.folder / "receipts.chain").read_bytes()
    assert page.check_changing("receipts.chain", [chain, b"something else"]) is None
    assert page.check_changing("receipts.chain", [b"something else", chain]) == "sums"


@pytest.mark.slow
def test_both_verifiers_have_one_calendar(page: VerifierPage) -> None:
    times = [*POSSIBLE_TIMES, *IMPOSSIBLE_TIMES.values()]
    accepted = page.driver.execute_script("return arguments[0].map(isUtc)", times)
    assert dict(zip(times, accepted, strict=True)) == {
        text: text in POSSIBLE_TIMES for text in times
    }


@pytest.mark.slow
def test_a_chain_head_outside_the_export_does_not_count_as_checked(
    vectors: ExportVectors, page: VerifierPage
) -> None:
    head = vectors.known_head
    page.choose_language("en")
    try:
        page.enter_known_values(vectors.known_key, f"9999:{head.sha256}")
        assert page.check_folder(vectors.good.folder) is None
        for words in ("no chain head was verified", "is among the receipts of this export"):
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
