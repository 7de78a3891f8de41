"""A certificate authority for tests, that signs bundles which only test images take."""

import subprocess
from pathlib import Path

DAYS = "3650"
SIGNER = "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\nbasicConstraints=CA:FALSE\n"


def make(folder: Path) -> None:
    """ca.pem, and signer.pem with signer.key, unless they are there."""
    if (folder / "signer.pem").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "signer.ext").write_text(SIGNER)
    by = "-CA ca.pem -CAkey ca.key -CAcreateserial"
    new = "-newkey rsa:3072 -nodes"
    for words in (
        f"req -x509 -days {DAYS} {new} -keyout ca.key -out ca.pem -subj /CN=vigie-test-authority",
        f"req {new} -keyout signer.key -out signer.csr -subj /CN=vigie-test-signer",
        f"x509 -req -days {DAYS} -in signer.csr -out signer.pem -extfile signer.ext {by}",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
