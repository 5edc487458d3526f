"""How many workloads of each group and owner each node holds: for affinity, anti-affinity and topology spread."""

from collections import Counter, defaultdict
from collections.abc import Iterable


class Members:
    """Counts by (kind, name): `group` for affinity and anti-affinity groups, `owner` for replicas."""

    def __init__(self) -> None:
        self._nodes: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def count(self, names: Iterable[tuple[str, str]], node_id: str, sign: int) -> None:
        """A workload of these came to the node (+1) or left it (-1)."""
        for name in names:
            nodes = self._nodes[name]
            nodes[node_id] += sign
            if nodes[node_id] <= 0:
                del nodes[node_id]
            if not nodes:
                del self._nodes[name]

    def nodes(self, kind: str, name: str) -> Counter[str]:
        """Workloads by node; empty when there are none."""
        return self._nodes.get((kind, name), Counter())
