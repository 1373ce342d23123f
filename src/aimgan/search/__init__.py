"""Search and clusters among the codes of many images: an index of a source, what is near, and what belongs together."""

from aimgan.search.clusters import Clusters, cluster
from aimgan.search.index import Hit, Index, build, open_index, query

__all__ = ["Clusters", "Hit", "Index", "build", "cluster", "open_index", "query"]
