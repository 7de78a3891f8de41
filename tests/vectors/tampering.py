"""Tampered exports, each in its own way, and the problem that a verifier has to name.

The name of a function is the name of the vector. Those named `with_the_boxs_key_...` are attacks with
the stolen key: the chain's own order, or a chain head that the centre knows, reveals them.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.recording.export.head_coverage import KnownHead
from agent.recording.export.manifest import ExportProblemKind
from tests.vectors.workbench import Workbench

ReceiptList = list[dict[str, Any]]
KnownHeads = tuple[KnownHead, ...]
ChooseHeads = Callable[[Workbench, KnownHeads], KnownHeads]
"""Returns the heads that a verifier of the tampered copy knows. It takes the copy, and all heads that the centre has."""


class Tampering(msgspec.Struct, frozen=True, kw_only=True):
    """`problem` is the class that both verifiers name. Without `choose_heads` they know one head, from before the export."""

    name: str
    problem: ExportProblemKind
    tamper: Callable[[Workbench, Path], None]
    choose_heads: ChooseHeads | None


TAMPERINGS: list[Tampering] = []


def expects_problem(
    expected_problem: ExportProblemKind, choose_heads: ChooseHeads | None = None
) -> Callable[[Callable[[Workbench, Path], None]], None]:
    """Add a way of tampering. The second argument is an export of another box."""

    def add(tamper: Callable[[Workbench, Path], None]) -> None:
        TAMPERINGS.append(
            Tampering(
                name=tamper.__name__,
                problem=expected_problem,
                tamper=tamper,
                choose_heads=choose_heads,
            )
        )

    return add


# A file changed, and nothing else.


@expects_problem("sums")
def byte_flipped_in_the_clip(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.file_path("clip.mp4"))


@expects_problem("sums")
def first_byte_flipped_in_the_first_segment(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.segments[0], 0)


@expects_problem("sums")
def last_byte_flipped_in_the_last_segment(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.segments[-1], -1)


@expects_problem("sums")
def byte_flipped_in_the_manifest(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.file_path("manifest.json"))


@expects_problem("sums")
def byte_flipped_in_the_chain(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.file_path("receipts.chain"))


@expects_problem("sums")
def byte_flipped_in_the_explaining_page(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.file_path("LISEZMOI-README.html"))


@expects_problem("sums")
def byte_flipped_in_the_page_that_verifies(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.file_path("verify.html"))


@expects_problem("sums")
def digit_changed_in_the_sums(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.file_path("SHA256SUMS"), 3)


@expects_problem("sums")
def sums_missing(bench: Workbench, _: Path) -> None:
    bench.file_path("SHA256SUMS").unlink()


@expects_problem("sums")
def sums_empty(bench: Workbench, _: Path) -> None:
    bench.file_path("SHA256SUMS").write_bytes(b"")


@expects_problem("sums")
def sums_without_their_last_newline(bench: Workbench, _: Path) -> None:
    path = bench.file_path("SHA256SUMS")
    path.write_bytes(path.read_bytes()[:-1])


@expects_problem("sums")
def sums_with_a_line_less(bench: Workbench, _: Path) -> None:
    path = bench.file_path("SHA256SUMS")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


@expects_problem("sums")
def sums_with_a_line_twice(bench: Workbench, _: Path) -> None:
    path = bench.file_path("SHA256SUMS")
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0])


@expects_problem("sums")
def sums_in_capitals(bench: Workbench, _: Path) -> None:
    path = bench.file_path("SHA256SUMS")
    lines = [line.partition("  ") for line in path.read_text().splitlines()]
    path.write_text("".join(f"{sha.upper()}{gap}{name}\n" for sha, gap, name in lines))


@expects_problem("sums")
def sums_that_lead_out_of_the_folder(bench: Workbench, _: Path) -> None:
    path = bench.file_path("SHA256SUMS")
    path.write_text(path.read_text() + f"{'0' * 64}  ../outside\n")


@expects_problem("sums")
def segment_removed(bench: Workbench, _: Path) -> None:
    bench.segments[1].unlink()


@expects_problem("sums")
def segments_swapped(bench: Workbench, _: Path) -> None:
    swap_segments(bench)


@expects_problem("sums")
def segment_cut_short(bench: Workbench, _: Path) -> None:
    path = bench.segments[0]
    path.write_bytes(path.read_bytes()[:-100])


@expects_problem("sums")
def byte_added_to_a_segment(bench: Workbench, _: Path) -> None:
    path = bench.segments[0]
    path.write_bytes(path.read_bytes() + b"\0")


@expects_problem("sums")
def clip_replaced_by_a_segment(bench: Workbench, _: Path) -> None:
    shutil.copyfile(bench.segments[0], bench.file_path("clip.mp4"))


@expects_problem("sums")
def file_added(bench: Workbench, _: Path) -> None:
    bench.file_path("note.txt").write_text("nothing happened")


@expects_problem("sums")
def file_added_with_a_name_like_that_of_a_file_manager(bench: Workbench, _: Path) -> None:
    bench.file_path("segments/Thumbs.db.mp4").write_text("nothing happened")


@expects_problem("sums")
def file_of_a_file_manager_that_the_sums_list_changed(bench: Workbench, _: Path) -> None:
    bench.file_path("Thumbs.db").write_text("nothing happened")
    bench.rewrite_sums()
    bench.flip_bit(bench.file_path("Thumbs.db"))


@expects_problem("sums")
def chain_missing(bench: Workbench, _: Path) -> None:
    bench.file_path("receipts.chain").unlink()


# The sums made to fit.


@expects_problem("manifest")
def segment_changed_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.segments[1])
    bench.rewrite_sums()


@expects_problem("manifest")
def segment_removed_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.segments[1].unlink()
    bench.rewrite_sums()


@expects_problem("manifest")
def segments_swapped_and_sums_updated(bench: Workbench, _: Path) -> None:
    swap_segments(bench)
    bench.rewrite_sums()


@expects_problem("manifest")
def clip_replaced_and_sums_updated(bench: Workbench, _: Path) -> None:
    shutil.copyfile(bench.segments[0], bench.file_path("clip.mp4"))
    bench.rewrite_sums()


@expects_problem("manifest")
def clip_of_another_box_and_sums_updated(bench: Workbench, other: Path) -> None:
    shutil.copyfile(other / "clip.mp4", bench.file_path("clip.mp4"))
    bench.rewrite_sums()


@expects_problem("manifest")
def clip_removed_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.file_path("clip.mp4").unlink()
    bench.rewrite_sums()


@expects_problem("manifest")
def explaining_page_changed_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.file_path("LISEZMOI-README.html"))
    bench.rewrite_sums()


@expects_problem("manifest")
def file_added_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.file_path("segments/note.txt").write_text("nothing happened")
    bench.rewrite_sums()


@expects_problem("manifest")
def file_of_a_file_manager_added_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.file_path("Thumbs.db").write_text("nothing happened")
    bench.rewrite_sums()


@expects_problem("manifest")
def manifest_missing_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.file_path("manifest.json").unlink()
    bench.rewrite_sums()


@expects_problem("manifest")
def manifest_is_no_json(bench: Workbench, _: Path) -> None:
    bench.file_path("manifest.json").write_text("box: casa-0001\n")
    bench.rewrite_sums()


@expects_problem("manifest")
def manifest_of_a_version_to_come(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(v=2))


@expects_problem("manifest")
def manifest_with_a_field_more(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(note="nothing happened"))


@expects_problem("manifest")
def manifest_with_a_field_less(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.pop("purpose"))


@expects_problem("manifest")
def manifest_names_a_file_twice(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["files"].append(manifest["files"][0]))


@expects_problem("manifest")
def manifest_lists_no_segment(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(segments=[]))


@expects_problem("manifest")
def manifest_with_a_key_that_is_none(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(public_key="AAAA"))


# The manifest made to fit too.


@expects_problem("exported")
def segment_changed_and_manifest_updated(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.segments[1])
    bench.rewrite_manifest()


@expects_problem("exported")
def segment_removed_and_manifest_updated(bench: Workbench, _: Path) -> None:
    removed = bench.segments[1]
    removed.unlink()
    bench.rewrite_manifest(lambda manifest: manifest["segments"].remove(removed.name))


@expects_problem("exported")
def segment_removed_and_claimed_as_withheld(bench: Workbench, _: Path) -> None:
    removed = bench.segments[1]
    removed.unlink()

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(removed.name)
        manifest["withheld"].append(removed.name)
        manifest["by"] = "another"

    bench.rewrite_manifest(change)


@expects_problem("manifest")
def segment_present_and_claimed_as_withheld(bench: Workbench, _: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["withheld"].append(manifest["segments"][0])

    bench.rewrite_manifest(change)


@expects_problem("exported")
def segments_swapped_and_manifest_updated(bench: Workbench, _: Path) -> None:
    swap_segments(bench)
    bench.rewrite_manifest()


@expects_problem("exported")
def segment_of_another_box_under_a_name_of_this(bench: Workbench, other: Path) -> None:
    (foreign, *_rest) = sorted((other / "segments").glob("*.mp4"))
    shutil.copyfile(foreign, bench.segments[0])
    bench.rewrite_manifest()


@expects_problem("exported")
def clip_replaced_and_manifest_updated(bench: Workbench, _: Path) -> None:
    shutil.copyfile(bench.segments[0], bench.file_path("clip.mp4"))
    bench.rewrite_manifest()


@expects_problem("exported")
def purpose_changed(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(purpose="routine"))


@expects_problem("exported")
def exported_by_another_person(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(by="nobody"))


@expects_problem("exported")
def camera_renamed(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(camera="south"))


@expects_problem("exported")
def span_widened(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(end_time="2026-11-25T02:00:00.000Z"))


@expects_problem("exported")
def order_of_segments_changed(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["segments"].reverse())


@expects_problem("exported")
def time_of_the_clip_shifted(bench: Workbench, _: Path) -> None:
    shifted = "2026-11-25T01:00:05.000Z"
    bench.rewrite_manifest(lambda manifest: manifest["clip"].update(begin_time=shifted))


@expects_problem("exported")
def manifest_in_other_words(bench: Workbench, _: Path) -> None:
    path = bench.file_path("manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text())))
    bench.rewrite_sums()


@expects_problem("box")
def box_renamed_in_the_manifest(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(box="casa-0002"))


@expects_problem("head")
def head_changed_in_the_manifest(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["head"].update(sha256="0" * 64))


@expects_problem("exported")
def head_set_back_to_before_a_segment_that_is_left_out(bench: Workbench, _: Path) -> None:
    removed = bench.segments[1]
    removed.unlink()
    before = bench.lines()[0][89:-1]
    head = {"seq": json.loads(before)["seq"], "sha256": hashlib.sha256(before).hexdigest()}

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(removed.name)
        manifest["head"] = head

    bench.rewrite_manifest(change)


@expects_problem("head")
def head_that_is_to_come(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["head"].update(seq=9999))


@expects_problem("order")
def chain_with_a_false_begin(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(first_seq=manifest["first_seq"] + 1))


# Receipts.


@expects_problem("receipt")
def chain_missing_and_sums_updated(bench: Workbench, _: Path) -> None:
    bench.file_path("receipts.chain").unlink()
    bench.rewrite_sums()


@expects_problem("receipt")
def chain_empty(bench: Workbench, _: Path) -> None:
    bench.write_lines([])


@expects_problem("receipt")
def chain_without_its_last_newline(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.write_lines([*lines[:-1], lines[-1][:-1]])


@expects_problem("receipt")
def blank_line_in_the_chain(bench: Workbench, _: Path) -> None:
    bench.write_lines([*bench.lines()[:3], b"\n", *bench.lines()[3:]])


@expects_problem("receipt")
def signature_stripped(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.write_lines([*lines[:2], lines[2][89:], *lines[3:]])


@expects_problem("receipt")
def signature_cut_short(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    short = base64.b64encode(base64.b64decode(lines[2][:88])[:63]) + lines[2][88:]
    bench.write_lines([*lines[:2], short, *lines[3:]])


@expects_problem("receipt")
def signature_in_a_second_spelling(bench: Workbench, _: Path) -> None:
    """The last character of base64 before `==` carries four bits that mean nothing."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    lines = bench.lines()
    spelled = bytearray(lines[2])
    spelled[85] = letters[letters.index(spelled[85]) ^ 1]
    bench.write_lines([*lines[:2], bytes(spelled), *lines[3:]])


@expects_problem("receipt")
def receipt_of_an_unknown_kind(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("gap"), '"kind":"gap"', '"kind":"nap"')


@expects_problem("receipt")
def receipt_that_is_no_json(bench: Workbench, _: Path) -> None:
    bench.change_text(2, '"v":1', '"v":')


@expects_problem("box")
def receipt_of_another_box_spliced_in(bench: Workbench, other: Path) -> None:
    foreign = (other / "receipts.chain").read_bytes().splitlines(keepends=True)
    bench.write_lines([*bench.lines()[:3], foreign[3], *bench.lines()[4:]])


@expects_problem("box")
def chain_of_another_box(bench: Workbench, other: Path) -> None:
    shutil.copyfile(other / "receipts.chain", bench.file_path("receipts.chain"))
    bench.rewrite_sums()


@expects_problem("signature")
def bit_flipped_in_a_signature(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    raw = bytearray(base64.b64decode(lines[2][:88]))
    raw[10] ^= 4
    bench.write_lines([*lines[:2], base64.b64encode(raw) + lines[2][88:], *lines[3:]])


@expects_problem("signature")
def signature_of_another_receipt(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.write_lines([*lines[:2], lines[1][:88] + lines[2][88:], *lines[3:]])


@expects_problem("signature")
def mask_version_changed(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("closed"), "balconies-3", "balconies-4")


@expects_problem("signature")
def time_of_a_receipt_shifted(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("closed"), "T01:00:0", "T02:00:0")


@expects_problem("signature")
def clock_claimed_as_untrusted(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("closed"), '"synced":true', '"synced":false')


@expects_problem("signature")
def gap_hidden(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("gap"), "the disk was slow", "no gap")


@expects_problem("signature")
def space_added_to_the_json(bench: Workbench, _: Path) -> None:
    bench.change_text(2, '"v":1,', '"v": 1,')


@expects_problem("signature")
def line_ends_of_another_system(bench: Workbench, _: Path) -> None:
    bench.write_lines([line[:-1] + b"\r\n" for line in bench.lines()])


@expects_problem("signature")
def link_changed(bench: Workbench, _: Path) -> None:
    prev = bench.receipts()[3]["prev_sha256"]
    bench.change_text(3, prev, "0" * 64)


@expects_problem("signature")
def chain_signed_by_another_key(bench: Workbench, _: Path) -> None:
    bench.resign(bench.attacker_identity)


@expects_problem("signature")
def receipt_removed_and_the_rest_signed_by_another_key(bench: Workbench, _: Path) -> None:
    gap = bench.index("gap")
    bench.resign(bench.attacker_identity, lambda receipts: receipts.pop(gap))


@expects_problem("order")
def receipt_removed(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    lines.pop(bench.index("gap"))
    bench.write_lines(lines)


@expects_problem("order")
def first_receipt_removed(bench: Workbench, _: Path) -> None:
    bench.write_lines(bench.lines()[1:])


@expects_problem("order")
def receipts_reordered(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    lines[2], lines[3] = lines[3], lines[2]
    bench.write_lines(lines)


@expects_problem("order")
def receipt_twice(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.write_lines([*lines[:3], lines[2], *lines[3:]])


@expects_problem("order")
def chain_turned_round(bench: Workbench, _: Path) -> None:
    bench.write_lines(bench.lines()[::-1])


@expects_problem("exported")
def last_receipt_removed(bench: Workbench, _: Path) -> None:
    bench.write_lines(bench.lines()[:-1])


@expects_problem("head")
def last_three_receipts_removed(bench: Workbench, _: Path) -> None:
    bench.write_lines(bench.lines()[:-3])


@expects_problem("key")
def all_of_it_signed_by_another_key(bench: Workbench, _: Path) -> None:
    """A whole forgery, perfect but for the key."""
    public_key = base64.b64encode(bench.attacker_identity.public_key_raw).decode()
    gap = bench.index("gap")
    bench.forge_export(
        bench.attacker_identity,
        lambda receipts: receipts.pop(gap),
        lambda manifest: manifest.update(public_key=public_key),
    )


@expects_problem("key")
def export_of_another_box(bench: Workbench, other: Path) -> None:
    shutil.rmtree(bench.folder)
    shutil.copytree(other, bench.folder)


# With the box's own key.


@expects_problem("link")
def with_the_boxs_key_a_receipt_signed_again(bench: Workbench, _: Path) -> None:
    closed = bench.index("closed")

    def change(receipts: ReceiptList) -> None:
        receipts[closed]["body"]["mask"] = "balconies-4"

    bench.resign(bench.box_identity, change, relink=False)


@expects_problem("order")
def with_the_boxs_key_a_number_left_out(bench: Workbench, _: Path) -> None:
    def change(receipts: ReceiptList) -> None:
        for receipt in receipts[3:]:
            receipt["seq"] += 1

    bench.resign(bench.box_identity, change, renumber=False)


@expects_problem("time")
def with_the_boxs_key_time_goes_back(bench: Workbench, _: Path) -> None:
    bench.forge_export(bench.box_identity, lambda receipts: receipts[4].update(t_ns=1))


@expects_problem("time")
def with_the_boxs_key_a_boot_comes_back(bench: Workbench, _: Path) -> None:
    bench.forge_export(bench.box_identity, lambda receipts: receipts[3].update(boot="another"))


@expects_problem("key")
def with_the_boxs_key_a_start_with_another_key(bench: Workbench, _: Path) -> None:
    public_key = base64.b64encode(bench.attacker_identity.public_key_raw).decode()
    started = {"kind": "started", "public_key": public_key, "versions": {}, "recipients": []}
    gap = bench.index("gap")
    bench.forge_export(bench.box_identity, lambda receipts: receipts[gap].update(body=started))


@expects_problem("head")
def with_the_boxs_key_the_chain_rewound(bench: Workbench, _: Path) -> None:
    """Remove a gap without a trace. Only the chain head that the centre has shows it."""
    gap = bench.index("gap")
    bench.forge_export(bench.box_identity, lambda receipts: receipts.pop(gap))


@expects_problem("head")
def with_the_boxs_key_the_chain_forked(bench: Workbench, _: Path) -> None:
    gap = bench.index("gap")

    def change(receipts: ReceiptList) -> None:
        receipts[gap]["body"]["reason"] = "maintenance"

    bench.forge_export(bench.box_identity, change)


@expects_problem("head")
def with_the_boxs_key_the_mask_version_changed(bench: Workbench, _: Path) -> None:
    closed = bench.index("closed")

    def change(receipts: ReceiptList) -> None:
        receipts[closed]["body"]["mask"] = "balconies-4"

    bench.forge_export(bench.box_identity, change)


@expects_problem("segment")
def with_the_boxs_key_a_segment_left_out(bench: Workbench, _: Path) -> None:
    removed = bench.segments[1]
    removed.unlink()

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(removed.name)
        manifest["clip"]["segments"].remove(removed.name)

    reexport(bench, change)


@expects_problem("segment")
def with_the_boxs_key_a_segment_withheld_without_a_mask(bench: Workbench, _: Path) -> None:
    removed = bench.segments[1]
    removed.unlink()

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(removed.name)
        manifest["withheld"].append(removed.name)

    reexport(bench, change)


@expects_problem("segment")
def with_the_boxs_key_a_segment_changed(bench: Workbench, _: Path) -> None:
    bench.flip_bit(bench.segments[0])
    reexport(bench)


@expects_problem("segment")
def with_the_boxs_key_a_segment_that_was_evicted(bench: Workbench, _: Path) -> None:
    evicted = {
        "kind": "evicted",
        "camera": "north",
        "segments": [bench.segments[0].name],
        "reason": "age",
        "oldest_time": None,
    }
    attested = bench.index("attested", -1)
    bench.forge_export(bench.box_identity, lambda receipts: receipts[attested].update(body=evicted))


@expects_problem("head")
def with_the_boxs_key_the_export_as_its_own_head(bench: Workbench, _: Path) -> None:
    last = bench.lines()[-1][89:-1]
    head = {"seq": json.loads(last)["seq"], "sha256": hashlib.sha256(last).hexdigest()}
    reexport(bench, lambda manifest: manifest.update(head=head))


@expects_problem("segment")
def with_the_boxs_key_segments_swapped(bench: Workbench, _: Path) -> None:
    swap_segments(bench)
    reexport(bench)


@expects_problem("segment")
def with_the_boxs_key_a_segment_that_never_was(bench: Workbench, _: Path) -> None:
    first = bench.segments[0]
    new = first.with_name(first.name.replace("0000000", "0000009"))
    shutil.copyfile(first, new)
    reexport(bench, lambda manifest: manifest["segments"].append(new.name))


@expects_problem("clip")
def with_the_boxs_key_a_clip_longer_than_its_segments(bench: Workbench, _: Path) -> None:
    reexport(bench, lambda manifest: manifest["clip"].update(duration_ns=60_000_000_000))


@expects_problem("clip")
def with_the_boxs_key_a_clip_of_another_hour(bench: Workbench, _: Path) -> None:
    shifted = "2026-11-25T00:00:00.000Z"
    reexport(bench, lambda manifest: manifest["clip"].update(begin_time=shifted))


@expects_problem("clip")
def with_the_boxs_key_a_clip_from_one_segment_over_and_over(bench: Workbench, _: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        clip = manifest["clip"]
        clip.update(segments=clip["segments"][:1] * 15, duration_ns=60_000_000_000)

    reexport(bench, change)


@expects_problem("clip")
def with_the_boxs_key_a_clip_from_no_segment(bench: Workbench, _: Path) -> None:
    reexport(bench, lambda manifest: manifest["clip"].update(segments=[]))


@expects_problem("clip")
def with_the_boxs_key_an_undeclared_clip(bench: Workbench, _: Path) -> None:
    reexport(bench, lambda manifest: manifest.update(clip=None))


@expects_problem("exported")
def with_the_boxs_key_another_purpose_in_the_receipt(bench: Workbench, _: Path) -> None:
    def change(receipts: ReceiptList) -> None:
        receipts[-1]["body"]["purpose"] = "routine"

    bench.resign(bench.box_identity, change)


@expects_problem("exported")
def with_the_boxs_key_a_view_instead_of_an_export(bench: Workbench, _: Path) -> None:
    def change(receipts: ReceiptList) -> None:
        body = receipts[-1]["body"]
        body["kind"] = "viewed"

    bench.resign(bench.box_identity, change)


def swap_segments(bench: Workbench) -> None:
    first, second = bench.segments[:2]
    first_data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_data)


def reexport(bench: Workbench, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Export the folder's files again with the box's key: the chain before stays unchanged."""
    earlier_lines = bench.lines()[:-1]
    bench.rewrite_manifest(change)
    manifest = bench.manifest

    def export(receipts: ReceiptList) -> None:
        body = receipts[-1]["body"]
        for name in ("camera", "begin_time", "end_time", "by", "purpose"):
            body[name] = manifest[name]
        body["segments"] = manifest["segments"] + manifest["withheld"]

    bench.resign(bench.box_identity, export)
    bench.write_lines([*earlier_lines, bench.lines()[-1]])
