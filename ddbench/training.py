"""The one training loop, for teachers and students."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ddbench.context import Context
from ddbench.errors import DivergedError
from ddbench.spec import Training
from ddbench.stream import Stream, pixels
from ddbench.types import Batch, DatasetInfo

Loss = Callable[[Float[Tensor, "b k"], Batch], Float[Tensor, ""]]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a training really is, once `max_updates` has been looked at."""

    epochs: int
    updates: int
    steps: int
    """Batches an epoch."""


def budget(training: Training, steps: int) -> Budget:
    """The epochs and updates of a training over `steps` batches an epoch.

    `max_updates` shortens the schedule itself: a cosine always ends at zero.
    """
    updates = training.epochs * steps
    if training.max_updates and updates > training.max_updates:
        updates = training.max_updates
    return Budget(math.ceil(updates / steps), updates, steps)


def train(
    module: nn.Module,
    stream: Stream,
    training: Training,
    loss: Loss,
    ctx: Context,
    title: str,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Trains in place and leaves the module in eval mode.

    Args:
        module: Already on the device.
        stream: Augmented batches.
        training: Optimiser, schedule, length.
        loss: Of a batch's logits.
        ctx: Device, precision, progress.
        title: For the progress bar.
        after_epoch: Called with the index of each finished epoch, in train mode again afterwards.

    Raises:
        DivergedError: the loss is not finite.
    """
    length = budget(training, stream.steps)
    optimizer = make_optimizer(module, training)
    schedule = Schedule(optimizer, training, length)
    averaged = AveragedWeights(module, training.weight_ema)
    done = 0
    with ctx.progress.stage(title, length.updates) as advance:
        for epoch in range(length.epochs):
            module.train()
            total = torch.zeros((), device=ctx.device)
            for batch in stream.epoch(epoch):
                if done == length.updates:
                    break
                schedule.set(epoch, done)
                value = _update(module, batch, loss, optimizer, ctx)
                averaged.update()
                total += value
                done += 1
                advance(1)
            if not math.isfinite(total.item()):
                raise DivergedError(
                    f"{title}: the loss is not finite after epoch {epoch}",
                    f"learning rate {training.lr:g}, {training.optimizer}",
                    hint="lower the learning rate",
                )
            if after_epoch is not None:
                with averaged.in_place():
                    after_epoch(epoch)
    averaged.put()
    module.eval()


class AveragedWeights:
    """A moving average of a module's weights, from those after the first update on.

    θ̄ ← α θ̄ + (1 − α) θ; buffers are those of the module itself. Nothing is averaged if α is 0.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        average = get_ema_multi_avg_fn(decay)
        self._held = AveragedModel(module, multi_avg_fn=average) if decay else None

    def update(self) -> None:
        """Takes in the weights as they are after an update."""
        if self._held is not None:
            self._held.update_parameters(self._module)

    @torch.no_grad()
    def put(self) -> None:
        """The average takes the place of the weights."""
        if self._held is not None:
            means = self._held.module.parameters()
            for weights, mean in zip(self._module.parameters(), means, strict=True):
                weights.copy_(mean)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The average in the place of the weights, inside; what training goes on with, after."""
        if self._held is None:
            yield
            return
        kept = [weights.detach().clone() for weights in self._module.parameters()]
        self.put()
        yield
        with torch.no_grad():
            for weights, own in zip(self._module.parameters(), kept, strict=True):
                weights.copy_(own)


def _update(
    module: nn.Module, batch: Batch, loss: Loss, optimizer: torch.optim.Optimizer, ctx: Context
) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    with ctx.autocast():
        logits = module(batch.images)
    value = loss(logits.float(), batch)
    value.backward()
    optimizer.step()
    return value.detach()


def make_optimizer(module: nn.Module, training: Training) -> torch.optim.Optimizer:
    """AdamW or SGD, with weight decay only on weights of two and more dimensions.

    One fused kernel a step: 2 to 3 times as fast as the loop over parameters, on a CPU as well.
    """
    decayed = [p for p in module.parameters() if p.requires_grad and p.dim() > 1]
    plain = [p for p in module.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if training.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=training.lr,
            momentum=training.momentum,
            nesterov=training.nesterov,
            fused=True,
        )
    return torch.optim.AdamW(groups, lr=training.lr, betas=(training.momentum, 0.999), fused=True)


class Schedule:
    """Sets the learning rate before each update."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, training: Training, length: Budget
    ) -> None:
        self._optimizer = optimizer
        self._training = training
        self._length = length

    def rate(self, epoch: int, update: int) -> float:
        """The learning rate of an update: cosine and halfway by epoch, one-cycle by update.

        Cosine: lr/2 (1 + cos(pi e / E)), which is lr at epoch 0 and would be 0 at epoch E.
        Half-cosine: lr/2 (1 + cos(pi e / 2E)), which would be lr/2 at epoch E.
        One-cycle: cosine from lr/25 up over the first 30 % of updates, then down to 0.
        Halfway: lr, then lr/10 in the second half of the epochs, the shorter one if they are odd.
        """
        lr, length = self._training.lr, self._length
        if self._training.schedule == "cosine":
            return lr * _half_cosine(epoch / length.epochs)
        if self._training.schedule == "half_cosine":
            return lr * _half_cosine(epoch / (2 * length.epochs))
        if self._training.schedule == "onecycle":
            place, top = update / max(length.updates - 1, 1), 0.3
            if place < top:
                return lr / 25 + (lr - lr / 25) * _half_cosine(1 - place / top)
            return lr * _half_cosine((place - top) / (1 - top))
        if self._training.schedule == "halfway" and epoch >= self._half:
            return lr / 10
        return lr

    @property
    def _half(self) -> int:
        return (self._length.epochs + 1) // 2

    def set(self, epoch: int, update: int) -> None:
        """Puts the rate of an update in place, and forgets momentum halfway if asked to."""
        if self._training.schedule == "halfway" and update == self._half * self._length.steps:
            self._optimizer.state.clear()
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate(epoch, update)


def _half_cosine(place: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * place))


@torch.no_grad()
def predict(
    module: nn.Module,
    images: Shaped[Tensor, "n c h w"],
    info: DatasetInfo,
    ctx: Context,
    batch_size: int = 250,
) -> Float[Tensor, "n k"]:
    """Logits of plain images, float32 on the CPU."""
    module.eval()
    found = []
    for chunk in images.split(batch_size):
        with ctx.autocast():
            found.append(module(pixels(chunk.to(ctx.device), info)).float().cpu())
    return torch.cat(found)
