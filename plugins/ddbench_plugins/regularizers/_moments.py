"""Class-wise moments of normalisation layers: of the real data, and of a batch of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float, Int

from ddbench.api.errors import DDBenchError
from ddbench.api.moments import ChannelMoments, moment_taps
from ddbench.api.roles import Statistic
from ddbench.api.types import Activations, DatasetInfo, Network, Reduction, Tap, Tensors

Norm: TypeAlias = Literal["squared", "l2"]

# -- of the real data, in one pass -----------------------------------------------------------------


class ClassMoments(Statistic):
    """Mean and biased variance of every BatchNorm input over all images and positions of a class.

    μ_k = E[x],  σ²_k = E[x²] − μ_k²,  E over the images of class k and the positions of a channel.

    Sums are float64, so that neither the order nor the size of batches shows. What is summed are
    float32 moments of each image, hence an error of σ² of about 1e-8 E[x²]: σ² is good to five
    digits as long as means are below some thirty standard deviations.

    Gives, per layer l, `l.mean` and `l.var`, [k c], and `count`, [k]. A class without images has
    moments that are not numbers.
    """

    identity: ClassVar[str] = "ddbench_plugins.summaries:ClassMoments"

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return moment_taps(network, "class_moments")

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        return _make_sums(network, torch.arange(info.num_classes))

    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
        return _add_batch(state, acts, labels)

    def finish(self, state: Tensors) -> Tensors:
        return _pool_classes(state)


class ReleasedClassMoments(ClassMoments):
    """As `ClassMoments`, but the variance is the mean of the variances within batches of a class.

    σ²_k = 1/n_k Σ_B n_B σ²_B, B the batches of consecutive images of class k; it lacks the
    variance between the means of the batches, so it is never above the exact one.

    Differences:
        The released code runs a loader per class; here the images of a class are counted off in
        the order in which they arrive, however they are mixed with those of other classes.

    References:
        Liu et al., Dataset Distillation via the Wasserstein Metric, ICCV 2025, released code.
    """

    identity: ClassVar[str] = "ddbench_plugins.summaries:ReleasedClassMoments"

    batch: int = 100
    """Images of a class whose variance is taken together."""

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        batches = (torch.tensor(info.train_counts) + self.batch - 1) // self.batch
        owner = torch.arange(info.num_classes).repeat_interleave(batches)
        ends = batches.cumsum(0)
        seen = torch.zeros(info.num_classes, dtype=torch.long)
        return {**_make_sums(network, owner), "first": ends - batches, "end": ends, "seen": seen}

    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
        first, end, seen = (state[name].to(labels.device) for name in ("first", "end", "seen"))
        earlier = (labels[:, None] == labels).tril(-1).sum(1)  # b
        slots = first[labels] + (seen[labels] + earlier) // self.batch
        if bool((slots >= end[labels]).any()):
            cls = int(labels[slots >= end[labels]][0])
            raise DDBenchError(
                f"class {cls} has more images than the data set announced",
                hint="`train_counts` of its DatasetInfo must be the images that `read` gives",
            )
        return {
            **_add_batch(state, acts, slots),
            "seen": seen + labels.bincount(minlength=len(seen)),
        }


def _make_sums(network: Network, owner: Int[torch.Tensor, " s"]) -> Tensors:
    """Returns sums of zero for s slots, all layers side by side; slot i is of class owner[i]."""
    modules = dict(network.module.named_modules())
    layers = network.norm_layers()
    ends = torch.tensor([modules[layer].num_features for layer in layers]).cumsum(0)
    sums = {
        name: torch.zeros(len(owner), int(ends[-1]), dtype=torch.float64)
        for name in ("mean", "square")
    }
    columns = {f"{layer}.end": end for layer, end in zip(layers, ends, strict=True)}
    count = torch.zeros(len(owner), dtype=torch.long)
    return {**sums, **columns, "count": count, "owner": owner}


def _list_layers(state: Tensors) -> list[str]:
    """Returns the layers of a state, in the order of its columns."""
    return [name.removesuffix(".end") for name in state if name.endswith(".end")]


def _add_batch(state: Tensors, acts: Activations, slots: Int[torch.Tensor, " b"]) -> Tensors:
    """Adds a batch whose images belong to `slots` to the sums, in place, and returns them.

    On a GPU by a product with a membership matrix, then one addition per slot: the same numbers
    every time, which scattering single images there would not give. A CPU scatters in order.
    """
    slots = _send_to_float64(slots)
    state = {name: tensor.to(slots.device) for name, tensor in state.items()}
    rows, member = slots, None
    if slots.device.type != "cpu":
        rows, inverse = slots.unique(return_inverse=True)
        member = torch.nn.functional.one_hot(inverse, len(rows)).T.double()  # r b
    layers = [acts.taps[Tap(layer, ChannelMoments())] for layer in _list_layers(state)]
    for name in ("mean", "square"):
        batch = torch.cat([_send_to_float64(moments[name]) for moments in layers], 1).double()
        state[name].index_add_(0, rows, batch if member is None else member @ batch)
    state["count"] += slots.bincount(minlength=len(state["count"]))
    return state


def _send_to_float64(tensor: torch.Tensor) -> torch.Tensor:
    """Moves a tensor of a device without float64 to the CPU."""
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def _pool_classes(state: Tensors) -> Tensors:
    """Returns the moments of classes; variances are those around the mean of each slot."""
    state = {name: tensor.cpu() for name, tensor in state.items()}
    size, owner = state["count"], state["owner"]
    classes = int(owner.max()) + 1

    def summed(per_slot: torch.Tensor) -> torch.Tensor:
        return per_slot.new_zeros(classes, *per_slot.shape[1:]).index_add(0, owner, per_slot)

    count = summed(size)
    scatter = state["square"] - state["mean"].square() / size.clamp_min(1)[:, None]
    mean = (summed(state["mean"]) / count[:, None]).float()
    var = (summed(scatter) / count[:, None]).clamp_min(0).float()
    moments: Tensors = {"count": count}
    start = 0
    for layer in _list_layers(state):
        end = int(state[f"{layer}.end"])
        moments[f"{layer}.mean"] = mean[:, start:end].contiguous()
        moments[f"{layer}.var"] = var[:, start:end].contiguous()
        start = end
    return moments


def start_sums(taps: Sequence[Tap], rows: int) -> Tensors:
    """Returns sums of zero, a row a class: one column until a batch shows how many there are."""
    names = [f"{tap.layer}.{moment}" for tap in taps for moment in ("mean", "var")]
    sums = {name: torch.zeros(rows, 1, dtype=torch.float64) for name in names}
    return {**sums, "count": torch.zeros(rows, dtype=torch.long)}


def add_images(
    state: Tensors,
    acts: Activations,
    reduction: Reduction,
    rows: Int[torch.Tensor, " b"],
    spread: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Tensors:
    """Returns the sums of `start_sums` after a batch, whose images belong to `rows`.

    Args:
        state: The sums before.
        acts: Mean and mean square of each image.
        reduction: What gave these.
        rows: The row of each image.
        spread: What to add up as variance, from mean and mean square.
    """
    member = torch.nn.functional.one_hot(rows.cpu(), len(state["count"])).T  # k b
    after = {"count": state["count"] + member.sum(1)}
    for layer in (name.removesuffix(".mean") for name in state if name.endswith(".mean")):
        moments = acts.taps[Tap(layer, reduction)]
        mean, square = (moments[name].cpu().double() for name in ("mean", "square"))  # b c
        after[f"{layer}.mean"] = state[f"{layer}.mean"] + member.double() @ mean
        after[f"{layer}.var"] = state[f"{layer}.var"] + member.double() @ spread(mean, square)
    return after


# -- of a batch of images, differentiable ----------------------------------------------------------


def stack_moments(
    acts: Activations, taps: Sequence[Tap]
) -> tuple[Float[torch.Tensor, "b c"], Float[torch.Tensor, "b c"], list[int]]:
    """Returns mean and mean square, tapped layers side by side, and the channels of each layer."""
    layers = [acts.taps[tap] for tap in taps]
    mean, square = (torch.cat([layer[n] for layer in layers], 1) for n in ("mean", "square"))
    return mean, square, [layer["mean"].shape[1] for layer in layers]


def select_moments(
    known: Tensors, taps: Sequence[Tap], name: str, classes: Int[torch.Tensor, " r"]
) -> Float[torch.Tensor, "r c"]:
    """Returns the known moments of some classes, all tapped layers side by side.

    Few of many classes are picked layer by layer: side by side, those of ImageNet-1K would be 200
    MB to copy in every iteration.

    Args:
        known: `<l>.mean` and the like, [k c], of every layer l.
        name: "mean" or "var".
    """
    layers = [known[f"{tap.layer}.{name}"] for tap in taps]
    if len(classes) < len(layers[0]):
        return torch.cat([layer.index_select(0, classes) for layer in layers], 1)
    return torch.cat(layers, 1).index_select(0, classes)


def mix_moments(
    shares: Float[torch.Tensor, "r b"],
    mean: Float[torch.Tensor, "b c"],
    square: Float[torch.Tensor, "b c"],
) -> tuple[Float[torch.Tensor, "r c"], Float[torch.Tensor, "r c"]]:
    """Returns mean and variance of weighted mixtures of images.

    μ_r = Σ_i s_ri m_i,  σ²_r = Σ_i s_ri q_i − μ_r²

    By the law of total variance σ² is that of all positions of all images, each counted with its
    share, around the weighted mean.

    Args:
        shares: s, rows sum to 1.
        mean: m, mean of each image and channel over positions.
        square: q, mean of the squares.
    """
    first = shares @ mean  # r c
    return first, shares @ square - first.square()


def share_by_class(
    labels: Int[torch.Tensor, " b"], weights: Float[torch.Tensor, " b"], classes: int
) -> tuple[Int[torch.Tensor, " r"], Float[torch.Tensor, "r b"], Float[torch.Tensor, " r"]]:
    """Returns the share of each image of a batch in its class, in any order and number.

    Which classes are in the batch is not asked, since on a GPU the answer must be waited for. One
    row stands for each class of the data set or, where those are more, for the class of each image.

    Args:
        labels: Class of each image.
        weights: Weight of each image; they need not sum to 1.
        classes: Number of classes of the data set.

    Returns:
        The class of each row; the share of each image in it, which sum to 1 (equal ones where all
        weights are 0); and what to count the row with so that each class present counts once.
    """
    few = classes <= len(labels)
    rows = torch.arange(classes, device=labels.device) if few else labels
    member = (rows[:, None] == labels).to(weights.dtype)  # r b
    size, weighted = member.sum(1, keepdim=True), member * weights
    total = weighted.sum(1, keepdim=True)
    tiny = torch.finfo(weights.dtype).tiny
    shares = torch.where(total > 0, weighted / total.clamp_min(tiny), member / size.clamp_min(1))
    copies = (rows[:, None] == rows).sum(1)  # r
    return rows, shares, (size[:, 0] > 0).to(weights.dtype) / copies


def sum_layer_gaps(
    difference: Float[torch.Tensor, "r c"],
    channels: Sequence[int],
    norm: Norm,
    first_layer: float,
) -> Float[torch.Tensor, " r"]:
    """Returns Σ_l s_l ‖d_l‖, or with squared norms; s_1 = `first_layer`, the others are 1.

    Args:
        difference: d, the channels of all layers side by side.
        channels: How many belong to each layer.
        norm: "l2" for ‖d_l‖₂, whose gradient is taken as 0 at 0; "squared" for ‖d_l‖₂².
        first_layer: s_1.
    """
    if norm == "squared":
        each, first = difference.square(), channels[0]
    else:
        parts = difference.split(list(channels), 1)
        each = torch.stack([torch.linalg.vector_norm(part, dim=1) for part in parts], 1)
        first = 1
    return first_layer * each[:, :first].sum(1) + each[:, first:].sum(1)
