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
from tests.settings_files import BOX, CONSOLE_SECRET, GOOD, PASSWORD
from tests.whole.provision_child import boot, fresh
from tests.whole.provision_tree import Tree

OF_THE_PAIR = ("box.key", "box.pem")
NEW_PASSWORD = "quite another one"  # noqa: S105 - of nobody
CHANGED = (
    GOOD.replace("north.scene.toml", "gate.toml")
    .replace("10.0.0.21", "10.0.0.99")
    .replace(PASSWORD, NEW_PASSWORD)
)
SECRETS = (PASSWORD, NEW_PASSWORD, CONSOLE_SECRET, "PRIVATE KEY")


def plain(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a configuration but for those that are another each time."""
    return {name: data for name, data in contents.items() if name not in OF_THE_PAIR}


def check_whole(tree: Tree) -> None:
    """The agent would start with it, and the pair is one."""
    loaded = configuration.load(tree.config / "vigie.toml")
    assert tls.context_of(loaded.broker) is not None
    assert set(OF_THE_PAIR) <= tree.contents().keys()


def check_done(tree: Tree) -> None:
    """All that a card brings has been done."""
    check_whole(tree)
    told = "".join(path.read_text() for path in tree.card.iterdir())
    assert not any(secret in told for secret in SECRETS), "a secret is on the card"
    request = x509.load_pem_x509_csr((tree.card / f"{BOX}.csr.pem").read_bytes())
    key = serialization.load_pem_private_key((tree.config / "box.key").read_bytes(), None)
    assert request.public_key() == key.public_key()
    assert [path.name for path in tree.card.iterdir() if path.name.endswith(".tmp")] == []
    assert not (tree.config / ".provisioning").exists()


def without_its_card(tree: Tree, among: Collection[dict[str, bytes]]) -> None:
    """The cut box boots where nobody can tell it again what it is to be: it is old or new."""
    (tree.card / "vigie-settings.toml").unlink(missing_ok=True)
    ended, _ = boot(tree)
    assert ended
    found = tree.contents()
    assert plain(found) in among, sorted(found)
    if found:
        check_whole(tree)
    assert not (tree.config / ".provisioning").exists()


def main(folder: Path, scenario: str, every: int) -> None:
    """The places of one scenario, or every so manieth. Ends with an exception where a promise is
    broken.
    """
    rng = random.Random(13)
    source, before = None, {}
    if scenario == "change":
        source = folder / "source"
        box = fresh(source, None)
        box.put(GOOD)
        assert boot(box)[0]
        before = plain(box.contents())
    settings = GOOD if scenario == "first" else CHANGED
    whole = fresh(folder / "whole", source)
    whole.put(settings)
    ended, length = boot(whole)
    assert ended
    check_done(whole)
    after = plain(whole.contents())
    assert after != before
    seen = {"old": 0, "new": 0}
    for place in range(0, length, every):
        trees = folder / f"cut-{place}"
        trees.mkdir()
        cut = fresh(trees / "box", source)
        cut.put(settings)
        ended, _ = boot(cut, place)
        assert not ended, place
        again = fresh(trees / "again", cut.root)
        without_its_card(fresh(trees / "alone", cut.root), (before, after))
        seen["new" if plain(Tree(trees / "alone").contents()) == after else "old"] += 1
        # Cut once more while it mends itself, then left in peace.
        boot(again, rng.randrange(length))
        ended, _ = boot(again)
        assert ended
        assert plain(again.contents()) == after
        check_done(again)
        shutil.rmtree(trees)
    assert seen["old"] > 0
    assert seen["new"] > 0
    print(f"{scenario}: {length} places, of which {seen}")  # noqa: T201 - for who looks


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
