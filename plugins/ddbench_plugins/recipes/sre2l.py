"""SRe2L: cross-entropy and global BatchNorm statistics through one teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Recipe, RegularizerTerm
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._settings import CROSS_ENTROPY, compose, find_script, smoke
from ddbench_plugins.regularizers.batch_norm import BatchNorm


def sre2l(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Adds plain norms of BatchNorm gaps, the first layer's ten times, to cross-entropy."""
    name = find_script(info)
    distiller = Optimize(iterations=4000, lr=0.25, layout="spread")
    weight = 0.01
    if name == "tiny_imagenet":
        distiller, weight = Optimize(iterations=4000, lr=0.1, layout="spread", roll=(-4, 4)), 1.0
    elif name == "cifar100":
        distiller = Optimize(
            iterations=1000, layout="spread", crop=(1.0, 1.0), flip=False, roll=(0, 4)
        )
    elif info.resolution <= 16:
        distiller = Optimize(iterations=300, lr=0.1, layout="spread", crop=(0.6, 1.0), roll=(0, 0))
    elif info.resolution <= 64:
        distiller = Optimize(iterations=300, lr=0.25, layout="spread", roll=(0, 4))
    return compose(
        "sre2l",
        info,
        distiller,
        FKD(),
        matchers=(CROSS_ENTROPY,),
        regularizers=(RegularizerTerm(name="batch_norm", weight=weight, part=BatchNorm()),),
        profiles=smoke(iterations=10),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"sre2l": sre2l}
