"""Tiny stand-ins for what ddbench hands to a part: small, on the CPU, the same every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Generator, Tensor, nn

from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.errors import DDBenchError
from ddbench.api.features import feature_tap
from ddbench.api.types import (
    Activations,
    Batch,
    DatasetInfo,
    DistilledSet,
    FeatureSample,
    Network,
    Step,
    Tap,
    Tensors,
)
from ddbench.nn.probe import Probe, freeze_network
from ddbench.pipeline.scoring import LentTrial
from ddbench.runtime.context import Context, use_seed
from ddbench.runtime.seeds import derive_seed, make_generator
from ddbench.training.batches import normalise

PER_CLASS = 6
"""Number of real images of a class."""


def tiny_info(classes: int = 3, pixels: int = 8, channels: int = 3) -> DatasetInfo:
    """Describes a data set that does not exist: `classes` classes of square colour images."""
    return DatasetInfo(
        name=f"tiny@{pixels}",
        classes=tuple(f"class{index}" for index in range(classes)),
        shape=(channels, pixels, pixels),
        mean=(0.45, 0.5, 0.55, 0.4)[:channels],
        std=(0.25, 0.2, 0.3, 0.25)[:channels],
        train_counts=(PER_CLASS,) * classes,
        test_counts=(4,) * classes,
        fingerprint="tiny",
    )


def tiny_images(
    info: DatasetInfo, labels: Int[Tensor, " b"], seed: int = 0
) -> Float[Tensor, "b c h w"]:
    """Draws normalised images: noise around a pattern of each class, the same for equal seeds."""
    rng = make_generator(seed, "tiny images")
    noise = torch.randn(len(labels), *info.shape, generator=rng)
    patterns = torch.randn(
        info.num_classes, *info.shape, generator=make_generator(0, "tiny patterns")
    )
    return 0.5 * noise + patterns[labels]


class TinyNet(nn.Module):
    """Two convolutions with BatchNorm that has seen data, pooling, and a classifier `fc`."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 5, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(5)
        self.fc = nn.Linear(5, classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        x = torch.relu(self.norm1(self.conv1(images)))
        x = torch.tanh(self.norm2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


class TinyConvNet(nn.Module):
    """Two blocks of convolution, instance normalisation, ReLU and pooling, and a classifier `fc`.

    No image depends on others of its batch, so that a loop may divide a batch as it likes.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.GroupNorm(6, 6),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 5, 3, padding=1),
            nn.GroupNorm(5, 5),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.fc = nn.Linear(20, classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.fc(self.blocks(images))


def tiny_network(info: DatasetInfo | None = None) -> Network:
    """Makes a frozen teacher of a tiny data set, with running statistics of its real images."""
    info = info or tiny_info()
    with use_seed(0):
        module = TinyNet(info.shape[0], info.num_classes)
    images, _ = tiny_real(info)
    with torch.no_grad():
        for _ in range(20):
            module(images)
    return freeze_network(Network(module, "fc"), Context())


def tiny_real(info: DatasetInfo) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, " n"]]:
    """Returns the normalised real images of a tiny data set and their labels, classes mixed."""
    labels = torch.arange(info.num_classes).repeat(PER_CLASS)
    return tiny_images(info, labels, seed=1), labels


def probe_images(
    network: Network, taps: Sequence[Tap], images: Float[Tensor, "b c h w"]
) -> Activations:
    """Runs one forward pass and returns the logits and what the taps hold."""
    with Probe(network, taps, Context()) as probe:
        return probe(images)


@torch.no_grad()
def collect(statistic: Any, network: Network, info: DatasetInfo, batch: int = 7) -> Tensors:
    """Collects a statistic of a tiny data set in one pass, as the statistics stage does."""
    images, labels = tiny_real(info)
    state = statistic.start(network, info)
    for some, theirs in zip(images.split(batch), labels.split(batch), strict=True):
        acts = probe_images(network, statistic.taps(network), some)
        state = statistic.update(state, acts, theirs)
    return statistic.finish(state)


def tiny_step(
    part: Any,
    *,
    labels: Sequence[int] = (2, 0, 1, 0, 2, 1, 2),
    images: Float[Tensor, "b c h w"] | None = None,
    info: DatasetInfo | None = None,
    network: Network | None = None,
    known: Mapping[Any, Tensors] | None = None,
    atoms: Float[Tensor, "b d"] | None = None,
    memory: Tensors | None = None,
) -> Step:
    """Makes a step as the recover stage does, with all that `part` asks for.

    Args:
        part: A matcher or regularizer; its taps, statistics and target are served.
        labels: Class of each image, in any order; weights are unequal.
        images: Normalised; random if not given. A copy of them carries the gradient.
        info: The data set; `tiny_info()` if not given.
        network: The teacher; `tiny_network(info)` if not given.
        known: Tensors of each statistic; collected from the tiny data set if not given.
        atoms: One target an image; made by the part's target if not given.
        memory: Tensors that the part remembered at the step before; none if not given.
    """
    info = info or tiny_info()
    network = network or tiny_network(info)
    rows = torch.tensor(labels)
    if known is None:
        known = {s: collect(s, network, info) for s in part.statistics}
    target = getattr(part, "target", None)
    if target is not None and atoms is None:
        atoms = _tiny_atoms(target, rows, collect(target.statistic, network, info))
    leaf = (tiny_images(info, rows) if images is None else images).clone().requires_grad_(True)
    return Step(
        images=leaf,
        labels=rows,
        weights=tiny_weights(rows),
        atoms=atoms,
        acts=probe_images(network, part.taps(network), leaf),
        network=network,
        known=known,
        progress=0.5,
        memory=memory or {},
    )


def tiny_weights(labels: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Returns unequal weights of images; those of a class sum to 1."""
    raw = torch.linspace(1, 2, len(labels))
    sums = torch.zeros(int(labels.max()) + 1).index_add(0, labels, raw)
    return raw / sums[labels]


def _tiny_atoms(target: Any, labels: Int[Tensor, " b"], real: Tensors) -> Float[Tensor, "b d"]:
    """Makes one atom an image, as the targets stage does."""
    rows = torch.empty(len(labels), real["features"].shape[1])
    for cls in labels.unique().tolist():
        here = labels == cls
        own = real["features"][real["labels"] == cls].double()
        atoms = target.atoms(own, int(here.sum()), make_generator(0, "targets", cls))
        rows[here] = atoms.points.float()
    return rows


def tiny_batch(info: DatasetInfo | None = None, share: float = 0.7) -> Batch:
    """Makes the batch of a training step, each image mixed with another by `share`."""
    info = info or tiny_info()
    labels = torch.arange(2 * info.num_classes) % info.num_classes
    images = tiny_images(info, labels)
    rows = torch.arange(len(labels)).flip(0)
    partners = torch.arange(len(labels)).roll(1)
    weights = torch.linspace(0.5, 1.5, len(labels))
    return Batch(
        images=share * images[rows] + (1 - share) * images[rows[partners]],
        labels=labels[rows],
        weights=weights,
        indices=rows,
        partner_labels=labels[rows[partners]],
        partner_indices=rows[partners],
        share=share,
        epoch=1,
        progress=0.5,
    )


def tiny_trial(
    info: DatasetInfo | None = None,
    *,
    logits: Float[Tensor, "t k"] | None = None,
    labels: Int[Tensor, " t"] | None = None,
) -> LentTrial:
    """Makes the trial of a student with these logits, or of one that is right half of the time."""
    info = info or tiny_info()
    if labels is None:
        labels = torch.arange(info.num_classes).repeat_interleave(torch.tensor(info.test_counts))
    if logits is None:
        rng = make_generator(0, "tiny trial")
        logits = torch.randn(len(labels), info.num_classes, generator=rng)
        logits[torch.arange(len(labels)), labels] += 1
    return LentTrial(
        logits=logits,
        labels=labels,
        info=info,
        seed=0,
        lent={
            "distilled": lambda: _tiny_set(info),
            "features": lambda: _tiny_features(info),
            "test_images": lambda: _tiny_test_images(info, labels),
            "student": lambda images: _ask_student(info, images),
        },
    )


def _tiny_test_images(info: DatasetInfo, labels: Int[Tensor, " t"]) -> UInt8[Tensor, "t c h w"]:
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (info.mean, info.std))
    images = tiny_images(info, labels, seed=1) * std + mean
    return (255 * images.clamp(0, 1)).to(torch.uint8)


@torch.no_grad()
def _ask_student(info: DatasetInfo, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
    return tiny_network(info).module(normalise(images, info))


def _tiny_set(info: DatasetInfo) -> DistilledSet:
    labels = torch.arange(info.num_classes).repeat_interleave(2)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (info.mean, info.std))
    pixels = (tiny_images(info, labels) * std + mean).clamp(0, 1)
    return DistilledSet(pixels, labels, tiny_weights(labels))


@torch.no_grad()
def _tiny_features(info: DatasetInfo) -> FeatureSample:
    network = tiny_network(info)
    tap = feature_tap(network)
    images, labels = tiny_real(info)
    made = torch.arange(info.num_classes).repeat_interleave(2)
    real = probe_images(network, [tap], images).taps[tap]["features"]
    distilled = probe_images(network, [tap], tiny_images(info, made)).taps[tap]["features"]
    return FeatureSample(real, labels, distilled, made, tiny_weights(made))


@dataclass(slots=True, kw_only=True)
class TinyProblem(DistillProblem):
    """A problem for distillers over a tiny data set."""

    info: DatasetInfo = field(default_factory=tiny_info)
    labels: Int[Tensor, " n"] = field(default_factory=lambda: torch.tensor([0, 0, 1, 1, 2, 2]))
    device: str = "cpu"
    needs: frozenset[str] = frozenset({"teacher", "objective"})
    """Services that are offered, out of "teacher", "objective" and "networks"."""
    distiller: Distiller | None = None
    """The distiller whose statistics and taps are served, if it declares any."""
    separable: bool = False
    ticks: int = 0
    """Number of calls of `tick`."""
    teachers: Sequence[Callable[[Float[Tensor, "b c h w"]], Activations]] = field(init=False)
    known: Mapping[Any, Tensors] = field(init=False)
    _prepared: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        network = tiny_network(self.info)
        read = () if self.distiller is None else self.distiller.statistics
        self.known = {s: collect(s, network, self.info) for s in read}
        taps = () if self.distiller is None else self.distiller.taps(network)
        probe = Probe(network, [feature_tap(network), *taps], Context())
        self.teachers = [probe] if self.needs - {"networks"} else []

    @property
    def prepared(self) -> Sequence[Tensor]:
        """Pieces of the distiller's preparation, made when they are first asked for."""
        part = None if self.distiller is None else self.distiller.preparation
        if part is not None and not self._prepared:
            ahead = TinyProblem(info=self.info, needs=self.needs)
            self._prepared = [part.piece(ahead, number) for number in range(part.pieces)]
        return self._prepared

    def rng(self, *names: object) -> Generator:
        return make_generator(0, "recover", *names)

    def images(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return tiny_real(self.info)[0][rows]

    def real(self, cls: int) -> Float[Tensor, "n c h w"]:
        images, labels = tiny_real(self.info)
        return images[labels == cls]

    def real_indices(self, cls: int) -> Int[Tensor, " n"]:
        return (tiny_real(self.info)[1] == cls).nonzero().flatten()

    def real_batch(self, cls: int, count: int, rng: Generator) -> Float[Tensor, "b c h w"]:
        images = self.real(cls)
        return images[torch.randperm(len(images), generator=rng)[:count]]

    def fresh_network(self, *names: object) -> Network:
        """Makes a small untrained network, in train mode.

        Raises:
            DDBenchError: the distiller does not say that it needs networks.
        """
        if "networks" not in self.needs:
            raise DDBenchError(
                "asks for networks but does not say so", hint='add "networks" to its `needs`'
            )
        with use_seed(derive_seed(0, "network", *names)):
            module = TinyConvNet(self.info.shape[0], self.info.num_classes)
        return Network(module, "fc")

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Probe:
        return Probe(network, taps, Context())

    def objective(
        self,
        images: Float[Tensor, "b c h w"],
        indices: Int[Tensor, " b"],
        progress: float,
        teacher: int | None = None,
    ) -> Float[Tensor, ""]:
        """Returns the cross-entropy through the only teacher plus the square of the images.

        Raises:
            DDBenchError: the distiller does not say that it needs the objective.
        """
        if "objective" not in self.needs:
            raise DDBenchError(
                "asks for the objective but does not say so", hint='add "objective" to its `needs`'
            )
        logits = self.teachers[0](images).logits
        entropy = nn.functional.cross_entropy(logits, self.labels[indices], reduction="sum")
        return entropy + images.square().sum()

    def normalise(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        mean, std = self._scale()
        return (pixels - mean) / std

    def pixel_range(self) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
        mean, std = self._scale()
        return -mean / std, (1 - mean) / std

    def room_for(self, work: Callable[[], object]) -> float:
        work()
        return 1e6

    def tick(self, loss: Float[Tensor, ""] | None = None) -> None:
        if loss is not None and not bool(torch.isfinite(loss).all()):
            raise DDBenchError(f"the loss is {float(loss)}")
        self.ticks += 1

    def _scale(self) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.info.mean, self.info.std))
        return mean, std
