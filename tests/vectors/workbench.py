"""The tools of a forger: an export's files, its sums, its manifest, its chain, and some key."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.base.device_identity import DeviceIdentity
from agent.recording.export.head_coverage import KnownHead

UNLISTED_FILES = ("manifest.json", "receipts.chain", "SHA256SUMS")
JsonChange = Callable[[dict[str, Any]], None]
"""Changes a receipt or a manifest in place."""

NUMBER = "number:"
"""Prefix of a text that is written as a number in these very characters, such as `number:1e999`."""


class Workbench:
    """One copy of an export, to be tampered with. `own` is the key of the box that made it."""

    def __init__(
        self, folder: Path, box_identity: DeviceIdentity, attacker_identity: DeviceIdentity
    ) -> None:
        self.folder = folder
        self.box_identity = box_identity
        self.attacker_identity = attacker_identity

    @property
    def segments(self) -> list[Path]:
        return sorted((self.folder / "segments").glob("*.mp4"))

    @property
    def manifest(self) -> dict[str, Any]:
        return _load_json(self.file_path("manifest.json").read_bytes())

    def file_path(self, name: str) -> Path:
        return self.folder / name

    def flip_bit(self, path: Path, at: int | None = None) -> None:
        """One bit of one byte; in the middle where no place is given."""
        data = bytearray(path.read_bytes())
        data[len(data) // 2 if at is None else at] ^= 1
        path.write_bytes(data)

    def rewrite_sums(self) -> None:
        """SHA256SUMS, made to fit."""
        lines = [
            f"{_sha256(path)}  {path.relative_to(self.folder).as_posix()}\n"
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name != "SHA256SUMS"
        ]
        self.file_path("SHA256SUMS").write_text("".join(lines))

    def rewrite_manifest(self, change: JsonChange = lambda _: None) -> None:
        """The manifest, its files made to fit, then changed; and the sums."""
        manifest = self.manifest
        manifest["files"] = [
            {
                "path": path.relative_to(self.folder).as_posix(),
                "sha256": _sha256(path),
                "size_bytes": path.stat().st_size,
            }
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name not in UNLISTED_FILES
        ]
        change(manifest)
        self.file_path("manifest.json").write_text(_dump_json(manifest, indent=1) + "\n")
        self.rewrite_sums()

    def lines(self) -> list[bytes]:
        return self.file_path("receipts.chain").read_bytes().splitlines(keepends=True)

    def write_lines(self, lines: list[bytes]) -> None:
        self.file_path("receipts.chain").write_bytes(b"".join(lines))
        self.rewrite_sums()

    def receipts(self) -> list[dict[str, Any]]:
        return [_load_json(line[89:]) for line in self.lines()]

    def heads(self, received: Callable[[str], int]) -> tuple[KnownHead, ...]:
        """The head at each receipt, and at the one before the first. `received` returns its arrival from the receipt's time."""
        receipts = self.receipts()
        first = receipts[0]
        before = KnownHead(
            seq=first["seq"] - 1, sha256=first["prev_sha256"], received_ms=received(first["time"])
        )
        return before, *(
            KnownHead(
                seq=receipt["seq"],
                sha256=hashlib.sha256(line[89:-1]).hexdigest(),
                received_ms=received(receipt["time"]),
            )
            for line, receipt in zip(self.lines(), receipts, strict=True)
        )

    def index(self, kind: str, nth: int = 0) -> int:
        """Return the index of the nth receipt of a kind."""
        found = [at for at, one in enumerate(self.receipts()) if one["body"]["kind"] == kind]
        return found[nth]

    def change_text(self, at: int, old: str, new: str) -> None:
        """A receipt's JSON changed, its signature kept."""
        lines = self.lines()
        changed = lines[at].replace(old.encode(), new.encode())
        assert changed != lines[at]
        lines[at] = changed
        self.write_lines(lines)

    def resign(
        self,
        key: DeviceIdentity,
        change: Callable[[list[dict[str, Any]]], None] = lambda _: None,
        *,
        relink: bool = True,
        renumber: bool = True,
    ) -> None:
        """Change the chain, number, link and sign all of it again, and write the sums.

        The export's receipt is made to fit the manifest. The first receipt's number and
        `prev_sha256` stay.
        """
        receipts = self.receipts()
        seq, prev = receipts[0]["seq"], receipts[0]["prev_sha256"]
        last = receipts[-1]
        last["body"]["sha256"] = _sha256(self.file_path("manifest.json"))
        change(receipts)
        lines = []
        for offset, receipt in enumerate(receipts):
            if renumber:
                receipt["seq"] = seq + offset
            if relink:
                receipt["prev_sha256"] = prev
            text = _dump_json(receipt, separators=(",", ":")).encode()
            prev = hashlib.sha256(text).hexdigest()
            lines.append(base64.b64encode(key.sign(text)) + b" " + text + b"\n")
        self.write_lines(lines)

    def forge_export(
        self,
        key: DeviceIdentity,
        receipts: Callable[[list[dict[str, Any]]], None] = lambda _: None,
        manifest: JsonChange = lambda _: None,
    ) -> None:
        """Everything done as the box would: the receipts changed, the manifest with a matching head, its
        receipt, the sums. This needs the box's key.
        """
        self.resign(key, receipts)
        before = self.lines()[-2][89:-1]
        head = {"seq": json.loads(before)["seq"], "sha256": hashlib.sha256(before).hexdigest()}

        def set_head(changed: dict[str, Any]) -> None:
            changed["head"] = head
            manifest(changed)

        self.rewrite_manifest(set_head)
        rewritten = self.manifest

        def export(changed: list[dict[str, Any]]) -> None:
            body = changed[-1]["body"]
            for name in ("camera", "begin_time", "end_time", "by", "purpose"):
                body[name] = rewritten[name]
            body["segments"] = rewritten["segments"] + rewritten["withheld"]

        self.resign(key, export)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _load_json(data: bytes) -> dict[str, Any]:
    """Load an object. Numbers with a fraction or an exponent keep their characters."""
    loaded: dict[str, Any] = json.loads(data, parse_float=lambda text: NUMBER + text)
    return loaded


def _dump_json(value: object, **options: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, **options)
    return re.sub(rf'"{NUMBER}([^"]*)"', r"\1", text)
