"""Problems whose networks are linear embeddings, for gaps in closed form."""

from __future__ import annotations

from torch import Tensor, nn

from ddbench.api.types import Network
from ddbench.testing import TinyProblem
from ddbench_plugins.distillers._gaps import AttentionGap, Gap, MeanGap
from ddbench_plugins.distillers.random_networks import _look
from tests.doubles.random_network_doubles import Double

NEEDS = frozenset({"networks"})


GAPS = [MeanGap(), AttentionGap()]


class Flat(Double):
    """The embedding of an image is the image."""

    def fresh_network(self, *names):
        module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double()
        return Network(module, "1")


def seen(gap: Gap, made: Double, network: Network, *batches: Tensor):
    return [acts.taps for acts in _look(made.probe(network, gap.taps(network)), batches)]


class FlatSingle(TinyProblem):
    """The same in single precision."""

    def fresh_network(self, *names):
        return Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "1")
