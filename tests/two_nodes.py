"""A Ray cluster of two nodes on one machine, of which the second one can be lost."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any


class TwoNodes:
    """A cluster to be used in a `with`.

    Args:
        head: cores of the first node.
        second: cores of the second one.

    Attributes:
        address: for RAY_ADDRESS.
    """

    def __init__(self, head: int, second: int) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self._cores = second
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head, "include_dashboard": False})
        self.address: str = self._cluster.address
        self._node: Any = self._cluster.add_node(num_cpus=second)

    def lose(self) -> None:
        """Kill the processes of the second node, and start another node in its place."""
        self._cluster.remove_node(self._node, allow_graceful=False)
        self._node = self._cluster.add_node(num_cpus=self._cores)

    def __enter__(self) -> TwoNodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()
