"""Networks built by architectures, or restored from stored weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo, Network
from ddbench.nn.instance_norm import use_instance_norms
from ddbench.nn.probe import freeze_network
from ddbench.nn.small_convolutions import use_small_maps
from ddbench.nn.surgery import move_network
from ddbench.runtime.context import Context, use_seed


def build_network(
    architecture: Architecture, info: DatasetInfo, seed: int, ctx: Context
) -> nn.Module:
    """Builds a newly initialised network on the context's device.

    Initialised on the CPU, so that every device starts from the same weights, which are
    channels_last like the images.
    """
    with use_seed(seed):
        module = use_instance_norms(use_small_maps(architecture.build(info)))
    return move_network(module, ctx.device)


def restore_network(
    architecture: Architecture, info: DatasetInfo, weights: Mapping[str, Tensor], ctx: Context
) -> Network:
    """Builds a frozen network with stored weights.

    Raises:
        DDBenchError: the weights are not those of the architecture.
    """
    module = build_network(architecture, info, 0, ctx)
    wanted, given = set(module.state_dict()), set(weights)
    if wanted != given:
        raise DDBenchError(
            "the stored weights do not fit the architecture",
            f"missing: {', '.join(sorted(wanted - given)) or 'none'}",
            f"unexpected: {', '.join(sorted(given - wanted)) or 'none'}",
        )
    module.load_state_dict(dict(weights))
    return freeze_network(Network(module, architecture.classifier(module)), ctx)
