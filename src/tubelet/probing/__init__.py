"""How good a model's features are: nearest neighbours and a linear classifier on the vectors before its head."""

from tubelet.probing.knn import knn_votes
from tubelet.probing.linear import fit_linear
from tubelet.probing.probing import HeadProbe, ProbeResult, probe

__all__ = ["HeadProbe", "ProbeResult", "fit_linear", "knn_votes", "probe"]
