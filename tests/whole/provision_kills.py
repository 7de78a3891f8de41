"""Kills a boot at each thing that it does, and the boot after it as well; prints what it tried.

python -m tests.whole.provision_kills FOLDER first|change EVERY
"""

import random
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.config import configuration
from agent.reporting.mqtt import tls
from tests.settings_files import BOX, CONSOLE_SECRET, GOOD_SETTINGS, PASSWORD
from tests.whole.provision_child import copy_or_make_tree, run_boot
from tests.whole.provision_tree import BoxTree

KEY_PAIR_FILES = ("box.key", "box.pem")
NEW_PASSWORD = "quite another one"  # noqa: S105 - not a real secret
CHANGED_SETTINGS = (
    GOOD_SETTINGS.replace("north.scene.toml", "gate.toml")
    .replace("10.0.0.21", "10.0.0.99")
    .replace(PASSWORD, NEW_PASSWORD)
)
SECRETS = (PASSWORD, NEW_PASSWORD, CONSOLE_SECRET, "PRIVATE KEY")


def without_key_pair(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a configuration but for those that are another each time."""
    return {name: data for name, data in contents.items() if name not in KEY_PAIR_FILES}


def check_loadable(tree: BoxTree) -> None:
    """The agent would start with it, and the pair is one."""
    loaded = configuration.load(tree.config / "vigie.toml")
    assert tls.load_ssl_context(loaded.broker) is not None
    assert set(KEY_PAIR_FILES) <= tree.contents().keys()


def check_provisioned(tree: BoxTree) -> None:
    """All that a card brings has been done."""
    check_loadable(tree)
    card_text = "".join(path.read_text() for path in tree.card.iterdir())
    assert not any(secret in card_text for secret in SECRETS), "a secret is on the card"
    request = x509.load_pem_x509_csr((tree.card / f"{BOX}.csr.pem").read_bytes())
    key = serialization.load_pem_private_key((tree.config / "box.key").read_bytes(), None)
    assert request.public_key() == key.public_key()
    assert [path.name for path in tree.card.iterdir() if path.name.endswith(".tmp")] == []
    assert not (tree.config / ".provisioning").exists()


def check_boot_without_card(tree: BoxTree, allowed: Collection[dict[str, bytes]]) -> None:
    """The cut box boots without a card: it is old or new."""
    (tree.card / "vigie-settings.toml").unlink(missing_ok=True)
    has_ended, _ = run_boot(tree)
    assert has_ended
    found = tree.contents()
    assert without_key_pair(found) in allowed, sorted(found)
    if found:
        check_loadable(tree)
    assert not (tree.config / ".provisioning").exists()


def main(folder: Path, scenario: str, every: int) -> None:
    """The places of one scenario, or every so manieth. Ends with an exception where a promise is
    broken.
    """
    rng = random.Random(13)
    source, before = None, {}
    if scenario == "change":
        source = folder / "source"
        box = copy_or_make_tree(source, None)
        box.insert_card(GOOD_SETTINGS)
        assert run_boot(box)[0]
        before = without_key_pair(box.contents())
    settings = GOOD_SETTINGS if scenario == "first" else CHANGED_SETTINGS
    reference = copy_or_make_tree(folder / "whole", source)
    reference.insert_card(settings)
    has_ended, step_count = run_boot(reference)
    assert has_ended
    check_provisioned(reference)
    after = without_key_pair(reference.contents())
    assert after != before
    outcomes = {"old": 0, "new": 0}
    for kill_at in range(0, step_count, every):
        trees = folder / f"cut-{kill_at}"
        trees.mkdir()
        interrupted = copy_or_make_tree(trees / "box", source)
        interrupted.insert_card(settings)
        has_ended, _ = run_boot(interrupted, kill_at)
        assert not has_ended, kill_at
        retried = copy_or_make_tree(trees / "again", interrupted.root)
        check_boot_without_card(
            copy_or_make_tree(trees / "alone", interrupted.root), (before, after)
        )
        outcomes[
            "new" if without_key_pair(BoxTree(trees / "alone").contents()) == after else "old"
        ] += 1
        # Cut once more during its recovery, then left alone.
        run_boot(retried, rng.randrange(step_count))
        has_ended, _ = run_boot(retried)
        assert has_ended
        assert without_key_pair(retried.contents()) == after
        check_provisioned(retried)
        shutil.rmtree(trees)
    assert outcomes["old"] > 0
    assert outcomes["new"] > 0
    print(f"{scenario}: {step_count} places, of which {outcomes}")  # noqa: T201 - for a person who reads the output


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
