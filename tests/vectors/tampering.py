"""What is done to an export, each in its own way, and what a verifier has to call it.

The name of a function is the name of the vector. What follows `with_the_boxs_key` is done by
somebody who has stolen the key: there the chain's own order, or a head that the centre knows, is
what gives it away.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.recording.export.manifest import Problem
from tests.vectors.workbench import Workbench

Receipts = list[dict[str, Any]]


class Tampering(msgspec.Struct, frozen=True, kw_only=True):
    """`problem` is the class that both verifiers name."""

    name: str
    problem: Problem
    work: Callable[[Workbench, Path], None]


ALL: list[Tampering] = []


def called(problem: Problem) -> Callable[[Callable[[Workbench, Path], None]], None]:
    """Add a way of tampering. The second argument is an export of another box."""

    def add(work: Callable[[Workbench, Path], None]) -> None:
        ALL.append(Tampering(name=work.__name__, problem=problem, work=work))

    return add


# A file changed, and nothing else.


@called("sums")
def byte_flipped_in_the_clip(bench: Workbench, _: Path) -> None:
    bench.flip(bench.path("clip.mp4"))


@called("sums")
def first_byte_flipped_in_the_first_segment(bench: Workbench, _: Path) -> None:
    bench.flip(bench.segments[0], 0)


@called("sums")
def last_byte_flipped_in_the_last_segment(bench: Workbench, _: Path) -> None:
    bench.flip(bench.segments[-1], -1)


@called("sums")
def byte_flipped_in_the_manifest(bench: Workbench, _: Path) -> None:
    bench.flip(bench.path("manifest.json"))


@called("sums")
def byte_flipped_in_the_chain(bench: Workbench, _: Path) -> None:
    bench.flip(bench.path("receipts.chain"))


@called("sums")
def byte_flipped_in_the_explaining_page(bench: Workbench, _: Path) -> None:
    bench.flip(bench.path("LISEZMOI-README.html"))


@called("sums")
def byte_flipped_in_the_page_that_verifies(bench: Workbench, _: Path) -> None:
    bench.flip(bench.path("verify.html"))


@called("sums")
def digit_changed_in_the_sums(bench: Workbench, _: Path) -> None:
    bench.flip(bench.path("SHA256SUMS"), 3)


@called("sums")
def sums_missing(bench: Workbench, _: Path) -> None:
    bench.path("SHA256SUMS").unlink()


@called("sums")
def sums_empty(bench: Workbench, _: Path) -> None:
    bench.path("SHA256SUMS").write_bytes(b"")


@called("sums")
def sums_without_their_last_newline(bench: Workbench, _: Path) -> None:
    path = bench.path("SHA256SUMS")
    path.write_bytes(path.read_bytes()[:-1])


@called("sums")
def sums_with_a_line_less(bench: Workbench, _: Path) -> None:
    path = bench.path("SHA256SUMS")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


@called("sums")
def sums_with_a_line_twice(bench: Workbench, _: Path) -> None:
    path = bench.path("SHA256SUMS")
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0])


@called("sums")
def sums_in_capitals(bench: Workbench, _: Path) -> None:
    path = bench.path("SHA256SUMS")
    lines = [line.partition("  ") for line in path.read_text().splitlines()]
    path.write_text("".join(f"{sha.upper()}{gap}{name}\n" for sha, gap, name in lines))


@called("sums")
def sums_that_lead_out_of_the_folder(bench: Workbench, _: Path) -> None:
    path = bench.path("SHA256SUMS")
    path.write_text(path.read_text() + f"{'0' * 64}  ../outside\n")


@called("sums")
def segment_removed(bench: Workbench, _: Path) -> None:
    bench.segments[1].unlink()


@called("sums")
def segments_swapped(bench: Workbench, _: Path) -> None:
    swap(bench)


@called("sums")
def segment_cut_short(bench: Workbench, _: Path) -> None:
    path = bench.segments[0]
    path.write_bytes(path.read_bytes()[:-100])


@called("sums")
def byte_added_to_a_segment(bench: Workbench, _: Path) -> None:
    path = bench.segments[0]
    path.write_bytes(path.read_bytes() + b"\0")


@called("sums")
def clip_replaced_by_a_segment(bench: Workbench, _: Path) -> None:
    shutil.copyfile(bench.segments[0], bench.path("clip.mp4"))


@called("sums")
def file_added(bench: Workbench, _: Path) -> None:
    bench.path("note.txt").write_text("nothing happened")


@called("sums")
def chain_missing(bench: Workbench, _: Path) -> None:
    bench.path("receipts.chain").unlink()


# The sums made to fit.


@called("manifest")
def segment_changed_and_sums_mended(bench: Workbench, _: Path) -> None:
    bench.flip(bench.segments[1])
    bench.sums()


@called("manifest")
def segment_removed_and_sums_mended(bench: Workbench, _: Path) -> None:
    bench.segments[1].unlink()
    bench.sums()


@called("manifest")
def segments_swapped_and_sums_mended(bench: Workbench, _: Path) -> None:
    swap(bench)
    bench.sums()


@called("manifest")
def clip_replaced_and_sums_mended(bench: Workbench, _: Path) -> None:
    shutil.copyfile(bench.segments[0], bench.path("clip.mp4"))
    bench.sums()


@called("manifest")
def clip_of_another_box_and_sums_mended(bench: Workbench, other: Path) -> None:
    shutil.copyfile(other / "clip.mp4", bench.path("clip.mp4"))
    bench.sums()


@called("manifest")
def clip_removed_and_sums_mended(bench: Workbench, _: Path) -> None:
    bench.path("clip.mp4").unlink()
    bench.sums()


@called("manifest")
def explaining_page_changed_and_sums_mended(bench: Workbench, _: Path) -> None:
    bench.flip(bench.path("LISEZMOI-README.html"))
    bench.sums()


@called("manifest")
def file_added_and_sums_mended(bench: Workbench, _: Path) -> None:
    bench.path("segments/note.txt").write_text("nothing happened")
    bench.sums()


@called("manifest")
def manifest_missing_and_sums_mended(bench: Workbench, _: Path) -> None:
    bench.path("manifest.json").unlink()
    bench.sums()


@called("manifest")
def manifest_is_no_json(bench: Workbench, _: Path) -> None:
    bench.path("manifest.json").write_text("box: casa-0001\n")
    bench.sums()


@called("manifest")
def manifest_of_a_version_to_come(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(v=2))


@called("manifest")
def manifest_with_a_field_more(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(note="nothing happened"))


@called("manifest")
def manifest_with_a_field_less(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.pop("purpose"))


@called("manifest")
def manifest_names_a_file_twice(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["files"].append(manifest["files"][0]))


@called("manifest")
def manifest_lists_no_segment(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(segments=[]))


@called("manifest")
def manifest_with_a_key_that_is_none(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(public_key="AAAA"))


# The manifest made to fit too.


@called("exported")
def segment_changed_and_manifest_mended(bench: Workbench, _: Path) -> None:
    bench.flip(bench.segments[1])
    bench.rewrite_manifest()


@called("exported")
def segment_removed_and_manifest_mended(bench: Workbench, _: Path) -> None:
    gone = bench.segments[1]
    gone.unlink()
    bench.rewrite_manifest(lambda manifest: manifest["segments"].remove(gone.name))


@called("exported")
def segment_removed_and_said_to_be_withheld(bench: Workbench, _: Path) -> None:
    gone = bench.segments[1]
    gone.unlink()

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(gone.name)
        manifest["withheld"].append(gone.name)
        manifest["by"] = "somebody"

    bench.rewrite_manifest(change)


@called("manifest")
def segment_there_and_said_to_be_withheld(bench: Workbench, _: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["withheld"].append(manifest["segments"][0])

    bench.rewrite_manifest(change)


@called("exported")
def segments_swapped_and_manifest_mended(bench: Workbench, _: Path) -> None:
    swap(bench)
    bench.rewrite_manifest()


@called("exported")
def segment_of_another_box_under_a_name_of_this(bench: Workbench, other: Path) -> None:
    (foreign, *_rest) = sorted((other / "segments").glob("*.mp4"))
    shutil.copyfile(foreign, bench.segments[0])
    bench.rewrite_manifest()


@called("exported")
def clip_replaced_and_manifest_mended(bench: Workbench, _: Path) -> None:
    shutil.copyfile(bench.segments[0], bench.path("clip.mp4"))
    bench.rewrite_manifest()


@called("exported")
def purpose_changed(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(purpose="routine"))


@called("exported")
def exported_by_somebody_else(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(by="nobody"))


@called("exported")
def camera_renamed(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(camera="south"))


@called("exported")
def span_widened(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(end_time="2026-11-25T02:00:00.000Z"))


@called("exported")
def order_of_segments_changed(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["segments"].reverse())


@called("exported")
def time_of_the_clip_shifted(bench: Workbench, _: Path) -> None:
    shifted = "2026-11-25T01:00:05.000Z"
    bench.rewrite_manifest(lambda manifest: manifest["clip"].update(begin_time=shifted))


@called("exported")
def manifest_in_other_words(bench: Workbench, _: Path) -> None:
    path = bench.path("manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text())))
    bench.sums()


@called("box")
def box_renamed_in_the_manifest(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(box="casa-0002"))


@called("head")
def head_changed_in_the_manifest(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["head"].update(sha256="0" * 64))


@called("exported")
def head_set_back_to_before_a_segment_that_is_left_out(bench: Workbench, _: Path) -> None:
    gone = bench.segments[1]
    gone.unlink()
    before = bench.lines()[0][89:-1]
    head = {"seq": json.loads(before)["seq"], "sha256": hashlib.sha256(before).hexdigest()}

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(gone.name)
        manifest["head"] = head

    bench.rewrite_manifest(change)


@called("head")
def head_that_is_to_come(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest["head"].update(seq=9999))


@called("order")
def chain_said_to_begin_elsewhere(bench: Workbench, _: Path) -> None:
    bench.rewrite_manifest(lambda manifest: manifest.update(first_seq=manifest["first_seq"] + 1))


# Receipts.


@called("receipt")
def chain_missing_and_sums_mended(bench: Workbench, _: Path) -> None:
    bench.path("receipts.chain").unlink()
    bench.sums()


@called("receipt")
def chain_empty(bench: Workbench, _: Path) -> None:
    bench.put_lines([])


@called("receipt")
def chain_without_its_last_newline(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.put_lines([*lines[:-1], lines[-1][:-1]])


@called("receipt")
def blank_line_in_the_chain(bench: Workbench, _: Path) -> None:
    bench.put_lines([*bench.lines()[:3], b"\n", *bench.lines()[3:]])


@called("receipt")
def signature_stripped(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.put_lines([*lines[:2], lines[2][89:], *lines[3:]])


@called("receipt")
def signature_cut_short(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    short = base64.b64encode(base64.b64decode(lines[2][:88])[:63]) + lines[2][88:]
    bench.put_lines([*lines[:2], short, *lines[3:]])


@called("receipt")
def signature_in_a_second_spelling(bench: Workbench, _: Path) -> None:
    """The last character of base64 before `==` carries four bits that mean nothing."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    lines = bench.lines()
    spelled = bytearray(lines[2])
    spelled[85] = letters[letters.index(spelled[85]) ^ 1]
    bench.put_lines([*lines[:2], bytes(spelled), *lines[3:]])


@called("receipt")
def receipt_of_an_unknown_kind(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("gap"), '"kind":"gap"', '"kind":"nap"')


@called("receipt")
def receipt_that_is_no_json(bench: Workbench, _: Path) -> None:
    bench.change_text(2, '"v":1', '"v":')


@called("box")
def receipt_of_another_box_spliced_in(bench: Workbench, other: Path) -> None:
    foreign = (other / "receipts.chain").read_bytes().splitlines(keepends=True)
    bench.put_lines([*bench.lines()[:3], foreign[3], *bench.lines()[4:]])


@called("box")
def chain_of_another_box(bench: Workbench, other: Path) -> None:
    shutil.copyfile(other / "receipts.chain", bench.path("receipts.chain"))
    bench.sums()


@called("signature")
def bit_flipped_in_a_signature(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    raw = bytearray(base64.b64decode(lines[2][:88]))
    raw[10] ^= 4
    bench.put_lines([*lines[:2], base64.b64encode(raw) + lines[2][88:], *lines[3:]])


@called("signature")
def signature_of_another_receipt(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.put_lines([*lines[:2], lines[1][:88] + lines[2][88:], *lines[3:]])


@called("signature")
def mask_version_changed(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("closed"), "balconies-3", "balconies-4")


@called("signature")
def time_of_a_receipt_shifted(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("closed"), "T01:00:0", "T02:00:0")


@called("signature")
def clock_said_to_be_unsure(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("closed"), '"synced":true', '"synced":false')


@called("signature")
def gap_hidden(bench: Workbench, _: Path) -> None:
    bench.change_text(bench.index("gap"), "the disk was slow", "no gap")


@called("signature")
def space_added_to_the_json(bench: Workbench, _: Path) -> None:
    bench.change_text(2, '"v":1,', '"v": 1,')


@called("signature")
def line_ends_of_another_system(bench: Workbench, _: Path) -> None:
    bench.put_lines([line[:-1] + b"\r\n" for line in bench.lines()])


@called("signature")
def link_changed(bench: Workbench, _: Path) -> None:
    prev = bench.receipts()[3]["prev"]
    bench.change_text(3, prev, "0" * 64)


@called("signature")
def chain_signed_by_another_key(bench: Workbench, _: Path) -> None:
    bench.resign(bench.thief)


@called("signature")
def receipt_removed_and_the_rest_signed_by_another_key(bench: Workbench, _: Path) -> None:
    gap = bench.index("gap")
    bench.resign(bench.thief, lambda receipts: receipts.pop(gap))


@called("order")
def receipt_removed(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    lines.pop(bench.index("gap"))
    bench.put_lines(lines)


@called("order")
def first_receipt_removed(bench: Workbench, _: Path) -> None:
    bench.put_lines(bench.lines()[1:])


@called("order")
def receipts_reordered(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    lines[2], lines[3] = lines[3], lines[2]
    bench.put_lines(lines)


@called("order")
def receipt_twice(bench: Workbench, _: Path) -> None:
    lines = bench.lines()
    bench.put_lines([*lines[:3], lines[2], *lines[3:]])


@called("order")
def chain_turned_round(bench: Workbench, _: Path) -> None:
    bench.put_lines(bench.lines()[::-1])


@called("exported")
def last_receipt_removed(bench: Workbench, _: Path) -> None:
    bench.put_lines(bench.lines()[:-1])


@called("head")
def last_three_receipts_removed(bench: Workbench, _: Path) -> None:
    bench.put_lines(bench.lines()[:-3])


@called("key")
def all_of_it_signed_by_another_key(bench: Workbench, _: Path) -> None:
    """A whole forgery, perfect but for the key."""
    public_key = base64.b64encode(bench.thief.public_key_raw).decode()
    gap = bench.index("gap")
    bench.forge(
        bench.thief,
        lambda receipts: receipts.pop(gap),
        lambda manifest: manifest.update(public_key=public_key),
    )


@called("key")
def export_of_another_box(bench: Workbench, other: Path) -> None:
    shutil.rmtree(bench.folder)
    shutil.copytree(other, bench.folder)


# With the box's own key.


@called("link")
def with_the_boxs_key_a_receipt_signed_anew(bench: Workbench, _: Path) -> None:
    closed = bench.index("closed")

    def change(receipts: Receipts) -> None:
        receipts[closed]["body"]["mask"] = "balconies-4"

    bench.resign(bench.own, change, relink=False)


@called("order")
def with_the_boxs_key_a_number_left_out(bench: Workbench, _: Path) -> None:
    def change(receipts: Receipts) -> None:
        for receipt in receipts[3:]:
            receipt["seq"] += 1

    bench.resign(bench.own, change, renumber=False)


@called("time")
def with_the_boxs_key_time_goes_back(bench: Workbench, _: Path) -> None:
    bench.forge(bench.own, lambda receipts: receipts[4].update(t_ns=1))


@called("time")
def with_the_boxs_key_a_boot_comes_back(bench: Workbench, _: Path) -> None:
    bench.forge(bench.own, lambda receipts: receipts[3].update(boot="another"))


@called("key")
def with_the_boxs_key_a_start_with_another_key(bench: Workbench, _: Path) -> None:
    public_key = base64.b64encode(bench.thief.public_key_raw).decode()
    started = {"kind": "started", "public_key": public_key, "versions": {}, "recipients": []}
    gap = bench.index("gap")
    bench.forge(bench.own, lambda receipts: receipts[gap].update(body=started))


@called("head")
def with_the_boxs_key_the_chain_rewound(bench: Workbench, _: Path) -> None:
    """A gap is taken out as if it had never been. Only what the centre was told shows it."""
    gap = bench.index("gap")
    bench.forge(bench.own, lambda receipts: receipts.pop(gap))


@called("head")
def with_the_boxs_key_the_chain_forked(bench: Workbench, _: Path) -> None:
    gap = bench.index("gap")

    def change(receipts: Receipts) -> None:
        receipts[gap]["body"]["reason"] = "maintenance"

    bench.forge(bench.own, change)


@called("head")
def with_the_boxs_key_the_mask_version_changed(bench: Workbench, _: Path) -> None:
    closed = bench.index("closed")

    def change(receipts: Receipts) -> None:
        receipts[closed]["body"]["mask"] = "balconies-4"

    bench.forge(bench.own, change)


@called("segment")
def with_the_boxs_key_a_segment_left_out(bench: Workbench, _: Path) -> None:
    gone = bench.segments[1]
    gone.unlink()

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(gone.name)
        manifest["clip"]["segments"].remove(gone.name)

    export_anew(bench, change)


@called("segment")
def with_the_boxs_key_a_segment_withheld_without_a_mask(bench: Workbench, _: Path) -> None:
    gone = bench.segments[1]
    gone.unlink()

    def change(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(gone.name)
        manifest["withheld"].append(gone.name)

    export_anew(bench, change)


@called("segment")
def with_the_boxs_key_a_segment_changed(bench: Workbench, _: Path) -> None:
    bench.flip(bench.segments[0])
    export_anew(bench)


@called("segment")
def with_the_boxs_key_a_segment_that_was_evicted(bench: Workbench, _: Path) -> None:
    evicted = {
        "kind": "evicted",
        "camera": "north",
        "segments": [bench.segments[0].name],
        "why": "age",
        "oldest_time": None,
    }
    attested = bench.index("attested", -1)
    bench.forge(bench.own, lambda receipts: receipts[attested].update(body=evicted))


@called("head")
def with_the_boxs_key_the_export_as_its_own_head(bench: Workbench, _: Path) -> None:
    last = bench.lines()[-1][89:-1]
    head = {"seq": json.loads(last)["seq"], "sha256": hashlib.sha256(last).hexdigest()}
    export_anew(bench, lambda manifest: manifest.update(head=head))


@called("segment")
def with_the_boxs_key_segments_swapped(bench: Workbench, _: Path) -> None:
    swap(bench)
    export_anew(bench)


@called("segment")
def with_the_boxs_key_a_segment_that_never_was(bench: Workbench, _: Path) -> None:
    first = bench.segments[0]
    new = first.with_name(first.name.replace("0000000", "0000009"))
    shutil.copyfile(first, new)
    export_anew(bench, lambda manifest: manifest["segments"].append(new.name))


@called("clip")
def with_the_boxs_key_a_clip_longer_than_its_segments(bench: Workbench, _: Path) -> None:
    export_anew(bench, lambda manifest: manifest["clip"].update(duration_ns=60_000_000_000))


@called("clip")
def with_the_boxs_key_a_clip_of_another_hour(bench: Workbench, _: Path) -> None:
    shifted = "2026-11-25T00:00:00.000Z"
    export_anew(bench, lambda manifest: manifest["clip"].update(begin_time=shifted))


@called("clip")
def with_the_boxs_key_a_clip_from_one_segment_over_and_over(bench: Workbench, _: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        clip = manifest["clip"]
        clip.update(segments=clip["segments"][:1] * 15, duration_ns=60_000_000_000)

    export_anew(bench, change)


@called("clip")
def with_the_boxs_key_a_clip_from_no_segment(bench: Workbench, _: Path) -> None:
    export_anew(bench, lambda manifest: manifest["clip"].update(segments=[]))


@called("clip")
def with_the_boxs_key_a_clip_that_is_not_told_of(bench: Workbench, _: Path) -> None:
    export_anew(bench, lambda manifest: manifest.update(clip=None))


@called("exported")
def with_the_boxs_key_another_purpose_in_the_receipt(bench: Workbench, _: Path) -> None:
    def change(receipts: Receipts) -> None:
        receipts[-1]["body"]["purpose"] = "routine"

    bench.resign(bench.own, change)


@called("exported")
def with_the_boxs_key_a_view_instead_of_an_export(bench: Workbench, _: Path) -> None:
    def change(receipts: Receipts) -> None:
        body = receipts[-1]["body"]
        body["kind"] = "viewed"

    bench.resign(bench.own, change)


def swap(bench: Workbench) -> None:
    first, second = bench.segments[:2]
    aside = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(aside)


def export_anew(
    bench: Workbench, change: Callable[[dict[str, Any]], None] = lambda _: None
) -> None:
    """What lies there, exported by the box's key: the chain before it stays as it is."""
    kept = bench.lines()[:-1]
    bench.rewrite_manifest(change)
    told = bench.manifest

    def export(receipts: Receipts) -> None:
        body = receipts[-1]["body"]
        for name in ("camera", "begin_time", "end_time", "by", "purpose"):
            body[name] = told[name]
        body["segments"] = told["segments"] + told["withheld"]

    bench.resign(bench.own, export)
    bench.put_lines([*kept, bench.lines()[-1]])
