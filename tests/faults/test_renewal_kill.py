"""agent.reporting.renewal.credentials under kills of its writer: a pair that connects, and never a mix of two."""

import random
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

from cryptography import x509

from agent.config.broker import BrokerConfig
from agent.reporting.mqtt.pair_choice import ClientPair
from agent.reporting.renewal.credentials import FOLDER, BoxCredentials
from tests.faults.renewal_child import BOX

ROOT = Path(__file__).parents[2]
KILLS = 6
SEED = 20261127


def kill_after(folder: Path, lines: int) -> list[str]:
    """Kill a writer once it has reported so many steps. All that it reported."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.renewal_child", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        reported = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        reported += [line for line in writer.stdout.read().splitlines() if line]
    return reported


def read_serial(pair: ClientPair) -> int:
    """The serial number of a pair, which OpenSSL itself refuses if the key is not the certificate's."""
    file = pair.broker.certificate
    assert file is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(file, pair.broker.key)
    return x509.load_pem_x509_certificate(Path(file).read_bytes()).serial_number - 1


def test_each_kill_leaves_the_pair_that_has_connected_until_the_next_one_has(
    tmp_path: Path,
) -> None:
    rng = random.Random(SEED)
    broker = BrokerConfig(url="mqtts://broker", certificate=str(tmp_path / "x"), key="x")
    for _ in range(KILLS):
        shutil.rmtree(tmp_path / FOLDER, ignore_errors=True)
        reported = kill_after(tmp_path, rng.randint(2, 60))
        kept = sum(line.startswith("kept") for line in reported)
        on_trial = len(reported) - kept
        *renewed, configured = BoxCredentials(broker, tmp_path, BOX).candidates()
        assert configured == ClientPair(broker=broker)
        serials = {pair.is_on_trial: read_serial(pair) for pair in renewed}
        assert serials[False] in (kept, kept + 1)
        if on_trial > serials[False]:
            assert serials[True] == serials[False] + 1
