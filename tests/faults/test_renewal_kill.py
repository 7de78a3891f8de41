"""agent.reporting.renewal.credentials under kills of its writer: the old pair or the new one, never a mix."""

import random
import ssl
import subprocess
import sys
from pathlib import Path

from cryptography import x509

from agent.config.broker import BrokerConfig
from agent.reporting.renewal.credentials import BoxCredentials
from tests.faults.renewal_child import BOX

ROOT = Path(__file__).parents[2]
KILLS = 6
SEED = 20261127


def kill_after(folder: Path, installs: int) -> int:
    """Kill a writer once it has installed so many pairs. The number of pairs that it reported."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.renewal_child", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        for _ in range(installs):
            assert writer.stdout.readline()
        writer.kill()
        rest = [line for line in writer.stdout.read().splitlines() if line]
    return installs + len(rest)


def test_each_kill_leaves_a_whole_pair_that_was_installed_last_or_before(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    broker = BrokerConfig(url="mqtts://broker", certificate=str(tmp_path / "x"), key="x")
    for _ in range(KILLS):
        reported = kill_after(tmp_path, rng.randint(1, 30))
        renewed, configured = BoxCredentials(broker, tmp_path, BOX).candidates()
        assert configured == broker
        assert renewed.certificate is not None
        # OpenSSL itself refuses a key that is not the certificate's.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(renewed.certificate, renewed.key)
        pem = Path(renewed.certificate).read_bytes()
        assert x509.load_pem_x509_certificate(pem).serial_number - 1 >= reported
