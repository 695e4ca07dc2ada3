"""squeeze: train the teacher on the real data, with hard labels or, but for its end, without."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import LinearProbe
from ddbench.api.types import Batch, Network
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.pipeline.results import NetworkWeights
from ddbench.pipeline.specs import Squeeze
from ddbench.pipeline.stages.pretraining import FrozenBackbone, pretrain
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.runtime.seeds import derive_seed
from ddbench.training.batches import Stream
from ddbench.training.loop import Trainee, predict, train


def squeeze(
    spec: Squeeze, data: RealData, ctx: Context, meter: Meter
) -> tuple[NetworkWeights, dict[str, float]]:
    """Trains the teacher; returns its weights and its accuracy on the test data (percent).

    Raises:
        DDBenchError: the teacher is hardly better than chance.
        DivergedError: its loss is not finite.
    """
    del meter
    seed = derive_seed(spec.seed, "squeeze")
    module = build_network(spec.architecture, data.info, seed, ctx)
    stream = Stream(
        images=data.train_images,
        labels=data.train_labels,
        weights=torch.ones(len(data.train_labels)),
        info=data.info,
        augmentation=spec.training.augmentation,
        batch_size=spec.training.batch_size,
        seed=seed,
        device=ctx.device,
    )
    learner: nn.Module = module
    if isinstance(spec.training, LinearProbe):
        network = Network(module, spec.architecture.classifier(module))
        pretrain(spec.training.pretraining, network, data, seed, ctx)
        learner = FrozenBackbone(network)
    smoothing = spec.training.label_smoothing

    def loss(logits: Float[Tensor, "b k"], batch: Batch, answers: object) -> Float[Tensor, ""]:
        own = F.cross_entropy(logits, batch.labels, label_smoothing=smoothing)
        if batch.share == 1:
            return own
        other = F.cross_entropy(logits, batch.partner_labels, label_smoothing=smoothing)
        return batch.share * own + (1 - batch.share) * other

    trainee = Trainee(learner, seed)
    train([trainee], stream, spec.training, loss, ctx, "squeeze: train the teacher")
    if trainee.fault is not None:
        raise trainee.fault
    logits = predict(module, data.test_images, data.info, ctx)
    top1 = 100 * (logits.argmax(1) == data.test_labels).float().mean().item()
    check_teacher(top1, data)
    weights = {name: value.contiguous() for name, value in module.state_dict().items()}
    return NetworkWeights(weights), {"teacher_top1": top1}


def check_teacher(top1: float, data: RealData) -> None:
    """Stops before hours are spent on a teacher that knows nothing.

    Raises:
        DDBenchError: less than one and a half times chance.
    """
    chance = 100 * max(data.info.test_counts) / max(sum(data.info.test_counts), 1)
    if top1 < min(1.5 * chance, (100 + chance) / 2):
        raise DDBenchError(
            f"the teacher reaches {top1:.1f} % on {data.info.name}; chance is {chance:.1f} %",
            "a set distilled from it would mean nothing",
            hint="train it longer (--set squeeze.epochs=...), or check the order of the classes "
            "(`ddbench data info`)",
        )
