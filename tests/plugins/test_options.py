"""Options of parts out of range are refused when they are set, not when they are used."""

from __future__ import annotations

import pytest

from ddbench.api.errors import DDBenchError
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.distillers.trajectory_matching import TrajectoryMatching
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.labellers.soft import Soft
from ddbench_plugins.matchers.kmeans import KMeansTarget
from ddbench_plugins.matchers.sliced_wasserstein import SlicedBarycenterTarget
from ddbench_plugins.matchers.wasserstein import BarycenterTarget
from ddbench_plugins.pretraining.moco import MomentumContrast


@pytest.mark.parametrize(
    ("part", "options"),
    [
        (Optimize, {"betas": (2.0, 0.9)}),
        (Optimize, {"betas": (0.5, 1.0)}),
        (Optimize, {"eps": -1.0}),
        (RandomNetworks, {"lr": float("nan")}),
        (TrajectoryMatching, {"momentum": -1.0}),
        (TrajectoryMatching, {"rate": -0.1}),
        (FKD, {"temperature": 0.0}),
        (FKD, {"temperature": -4.0}),
        (Soft, {"temperature": 0.0}),
        (Hard, {"label_smoothing": 2.0}),
        (Hard, {"label_smoothing": -0.5}),
        (KMeansTarget, {"restarts": 0}),
        (KMeansTarget, {"weight_floor": 5.0}),
        (BarycenterTarget, {"iterations": -1}),
        (BarycenterTarget, {"weight_steps": -1}),
        (SlicedBarycenterTarget, {"projections": -1}),
        (SlicedBarycenterTarget, {"iterations": -1}),
        (MomentumContrast, {"lr": -1.0}),
        (MomentumContrast, {"weight_decay": -1.0}),
    ],
    ids=str,
)
def test_an_option_out_of_range_is_named(part, options):
    (name,) = options
    with pytest.raises(DDBenchError, match=rf"^{name} is ") as caught:
        part(**options)
    assert caught.value.facts[0].startswith("expected: ")
