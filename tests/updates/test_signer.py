"""The certificates that sign an update, with the image's configuration of RAUC: those that the pages make, and others."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from images import bundles
from images.target import BuildTarget
from tests.updates.conftest import BundleAuthority, UpdateBox, slot_image
from tests.updates.test_update_command import was_installed, was_refused

DOCS = Path(__file__).parents[2] / "docs"
LEAF = "basicConstraints=CA:FALSE\n"
SIGNS = f"{LEAF}keyUsage=critical,digitalSignature\n"
WRONG_PURPOSE = "unsuitable certificate purpose"


def run_block(page: str, name: str, folder: Path) -> None:
    """Run the shell lines of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```sh {name}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    subprocess.run(["sh", "-euc", block], cwd=folder, check=True, capture_output=True)


def test_the_signer_that_the_page_makes_signs_updates(
    box: UpdateBox, authority: BundleAuthority, tmp_path: Path
) -> None:
    run_block("update.md", "signer", tmp_path)
    shutil.copy(tmp_path / "updates-ca.pem", box.root / "keyring.pem")
    signer = tmp_path / "signer.pem", tmp_path / "signer.key"
    bundle = authority.make_bundle(tmp_path / "new.raucb", "2.0.0", signer=signer)
    done = box.run_vigie_update("install", bundle)
    was_installed(box, done.returncode, done.stdout + done.stderr)


def test_a_boxs_certificate_signs_no_update_although_one_authority_issued_both(
    box: UpdateBox, authority: BundleAuthority, tmp_path: Path
) -> None:
    for name in ("pem", "key"):
        shutil.copy(authority.folder / f"ca.{name}", tmp_path / f"ca.{name}")
    (tmp_path / "ca.pem").rename(tmp_path / "ca.crt")
    request = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout box.key"
    subprocess.run(
        ["openssl", *request.split(), *["-subj", "/CN=casa-0001", "-out", "casa-0001.csr.pem"]],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    run_block("flash.md", "sign", tmp_path)
    signer = tmp_path / "casa-0001.pem", tmp_path / "box.key"
    for bundle_format in ("verity", "plain"):
        bundle = authority.make_bundle(
            tmp_path / f"{bundle_format}.raucb",
            "2.0.0",
            signer=signer,
            bundle_format=bundle_format,
        )
        assert box.run_rauc("info", bundle).returncode == 1
        assert box.run_rauc("install", bundle).returncode == 1
        assert box.is_empty("B")
        done = box.run_vigie_update("install", bundle)
        was_refused(box, done.returncode, done.stderr, WRONG_PURPOSE)


@pytest.mark.parametrize(
    "extensions",
    [
        "subjectAltName=DNS:casa-0001\nauthorityKeyIdentifier=keyid\n",
        f"{SIGNS}extendedKeyUsage=clientAuth,serverAuth\n",
        f"{SIGNS}extendedKeyUsage=emailProtection\n",
        f"{SIGNS}extendedKeyUsage=anyExtendedKeyUsage\n",
        f"{LEAF}keyUsage=critical,keyAgreement\nextendedKeyUsage=codeSigning\n",
    ],
    ids=["no usage", "of a box or a server", "mail", "any", "no signatures"],
)
def test_a_certificate_for_another_purpose_signs_no_update(
    box: UpdateBox, authority: BundleAuthority, tmp_path: Path, extensions: str
) -> None:
    signer = authority.issue(extensions)
    bundle = authority.make_bundle(tmp_path / "bad.raucb", "2.0.0", signer=signer)
    done = box.run_vigie_update("install", bundle)
    was_refused(box, done.returncode, done.stderr, WRONG_PURPOSE)


def test_the_authority_itself_signs_no_update(
    box: UpdateBox, authority: BundleAuthority, tmp_path: Path
) -> None:
    signer = authority.folder / "ca.pem", authority.folder / "ca.key"
    bundle = authority.make_bundle(tmp_path / "bad.raucb", "2.0.0", signer=signer)
    done = box.run_vigie_update("install", bundle)
    was_refused(box, done.returncode, done.stderr, WRONG_PURPOSE)


def test_an_authority_of_the_page_has_no_other_one_below_it(
    box: UpdateBox, authority: BundleAuthority, tmp_path: Path
) -> None:
    run_block("update.md", "signer", tmp_path)
    shutil.copy(tmp_path / "updates-ca.pem", box.root / "keyring.pem")
    for name, issuer, extensions in (
        (
            "below",
            "updates-ca",
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n",
        ),
        ("leaf", "below", f"{SIGNS}extendedKeyUsage=codeSigning\n"),
    ):
        (tmp_path / f"{name}.ext").write_text(extensions)
        key_args = f"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key"
        for words in (
            f"req {key_args} -out {name}.csr -subj /CN={name}",
            f"x509 -req -in {name}.csr -out {name}.pem -extfile {name}.ext -CA {issuer}.pem -CAkey {issuer}.key",
        ):
            subprocess.run(
                ["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True
            )
    bundle = authority.make_bundle(
        tmp_path / "bad.raucb",
        "2.0.0",
        signer=(tmp_path / "leaf.pem", tmp_path / "leaf.key"),
        intermediate=tmp_path / "below.pem",
    )
    done = box.run_vigie_update("install", bundle)
    was_refused(box, done.returncode, done.stderr, "path length constraint exceeded")


def test_a_bundle_of_the_build_is_checked_as_a_box_checks_it(
    authority: BundleAuthority, tmp_path: Path
) -> None:
    target = BuildTarget(profile="virt", architecture="amd64", version="2.0.0")
    root, boot = tmp_path / "root.img", tmp_path / "boot.img"
    root.write_bytes(slot_image("root.img", "2.0.0"))
    boot.write_bytes(slot_image("boot.img", "2.0.0", 40_000))

    def make_bundle(certificate: Path, key: Path) -> None:
        signer = bundles.BundleSigner(
            certificate=certificate, key=key, keyring=authority.folder / "ca.pem"
        )
        output = tmp_path / "bundle.raucb"
        bundles.make_bundle(target, root, boot, signer, output, allow_downgrade=False)

    with pytest.raises(subprocess.CalledProcessError):
        make_bundle(*authority.issue(f"{SIGNS}extendedKeyUsage=clientAuth\n"))
    assert not (tmp_path / "bundle.raucb").exists()
    make_bundle(authority.cert, authority.key)
    assert (tmp_path / "bundle.raucb").exists()
