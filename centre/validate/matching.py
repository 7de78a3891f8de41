"""One-to-one matches of two series, such as counts and labels, or the counts of two people. Pure."""

from collections.abc import Iterator, Sequence

WINDOW_RATIO = 1.01
"""Width of the window in which candidates are looked for, of the tolerance: more by more than the rounding of differences of times."""


def match_one_to_one(candidates: Sequence[Sequence[int]]) -> dict[int, int]:
    """Return the largest one-to-one match by augmenting paths (Kuhn): the index of each matched one, and of its partner.

    `candidates` has, for each of the first series, the indexes of the second that it may match, the best first.
    """
    owners: dict[int, int] = {}
    for root in range(len(candidates)):
        _augment(root, candidates, owners)
    return {i: j for j, i in owners.items()}


def _augment(root: int, candidates: Sequence[Sequence[int]], owners: dict[int, int]) -> None:
    """Match one more if a path of exchanges ends at a free partner. A list in place of recursion: a path may be long."""
    tried: set[int] = set()
    path: list[tuple[int, Iterator[int]]] = [(root, iter(candidates[root]))]
    partners: list[int] = []
    while path:
        partner = next((j for j in path[-1][1] if j not in tried), None)
        if partner is None:
            path.pop()
            del partners[-1:]
            continue
        tried.add(partner)
        partners.append(partner)
        owner = owners.get(partner)
        if owner is None:
            owners.update(zip(partners, (i for i, _ in path), strict=True))
            return
        path.append((owner, iter(candidates[owner])))
