"""How good a model's features are: nearest neighbours and a linear classifier on what it says before its head."""

from tubelet.callable_module import make_callable
from tubelet.probe.knn import knn_votes
from tubelet.probe.linear import fit_linear
from tubelet.probe.probing import HeadProbe, ProbeResult, probe

__all__ = ["HeadProbe", "ProbeResult", "fit_linear", "knn_votes", "probe"]

make_callable(__name__)
