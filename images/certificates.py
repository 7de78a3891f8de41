"""Certificate authority for tests: only test images accept its bundles."""

import subprocess
from pathlib import Path

from agent.base.update_keyring import TEST_AUTHORITY

VALID_DAYS = "3650"
SIGNER_EXTENSIONS = (
    "basicConstraints=critical,CA:FALSE\n"
    "keyUsage=critical,digitalSignature\n"
    "extendedKeyUsage=critical,codeSigning\n"
)


def make_test_ca(folder: Path) -> None:
    """Create ca.pem, signer.pem and signer.key, unless they exist with these extensions."""
    extensions = folder / "signer.ext"
    if (folder / "signer.pem").exists() and extensions.read_text() == SIGNER_EXTENSIONS:
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    extensions.write_text(SIGNER_EXTENSIONS)
    signing_args = "-CA ca.pem -CAkey ca.key -CAcreateserial"
    key_args = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for openssl_args in (
        f"req -x509 -days {VALID_DAYS} {key_args} -keyout ca.key -out ca.pem -subj /CN={TEST_AUTHORITY}",
        f"req {key_args} -keyout signer.key -out signer.csr -subj /CN=vigie-test-signer",
        f"x509 -req -days {VALID_DAYS} -in signer.csr -out signer.pem -extfile signer.ext {signing_args}",
    ):
        subprocess.run(
            ["openssl", *openssl_args.split()], cwd=folder, check=True, capture_output=True
        )
