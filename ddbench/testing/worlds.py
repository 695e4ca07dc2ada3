"""Conformance of architectures, data sets, protocols and recipes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.recipe import Protocol, Recipe, Training
from ddbench.api.types import DatasetInfo
from ddbench.runtime.context import find_data_root, use_seed
from ddbench.store.keys import spell_text
from ddbench.testing.fakes import tiny_images, tiny_info
from ddbench.testing.structure import finite, guarded, same

SIZES = (32, 64, 224)
"""Image sizes, in pixels, at which an architecture is tried until one suits it."""
SCALED = 32
"""Image size, in pixels, at which a data set is read: quick, and `resolution` is tried too."""
MOST_READ = 5000
"""Number of images of a data set that are read at most, rounded up to a chunk."""

CheckPart = Callable[[str, str, Any], list[str]]

# -- architectures ---------------------------------------------------------------------------------


def check_architecture(part: Any) -> Iterator[str]:
    """Checks an architecture's network at 32 pixels, or at the first larger size that it takes."""
    argument = part.argument
    if argument and not getattr(part, argument):
        return  # nothing to build without a name
    for pixels in SIZES:
        info = tiny_info(classes=4, pixels=pixels)
        try:
            with use_seed(0):
                module = part.build(info)
        except IncompatibleError:  # an answer
            continue
        yield from _check_network(part, module, info)
        return


def _check_network(part: Any, module: nn.Module, info: DatasetInfo) -> Iterator[str]:
    place = part.classifier(module)
    layers = dict(module.named_modules())
    if place not in layers:
        yield f"classifier names '{place}', which is no module of {type(module).__name__}"
        return
    seen: dict[str, Any] = {}
    handle = layers[place].register_forward_hook(
        lambda _, inputs, output: seen.update(input=inputs[0], output=output)
    )
    images = tiny_images(info, torch.arange(2)).requires_grad_(True)
    module.eval()
    logits = module(images)
    handle.remove()
    wanted = [2, info.num_classes]
    if not isinstance(logits, Tensor) or list(logits.shape) != wanted:
        yield f"the network gave {getattr(logits, 'shape', logits)}, expected logits {wanted}"
        return
    yield from _check_classifier(place, seen, logits)
    (slope,) = torch.autograd.grad(logits.square().sum(), [images], allow_unused=True)
    if not finite(logits) or slope is None or not finite(slope):
        yield "logits or their gradient to the images are not finite"
    with torch.no_grad():
        alone = module(images[:1])
    if not torch.allclose(alone, logits[:1], rtol=1e-3, atol=1e-4):
        yield "in eval mode the logits of an image depend on the others of its batch"
    with use_seed(0):
        twin = part.build(info)
    if not same(dict(twin.state_dict()), dict(module.state_dict())):
        yield "build differs under one seed: draw from torch's global generator only"


def _check_classifier(place: str, seen: dict[str, Any], logits: Tensor) -> Iterator[str]:
    if "output" not in seen:
        yield f"classifier '{place}' is not called in a forward pass"
    elif not isinstance(seen["input"], Tensor) or seen["input"].shape[0] != len(logits):
        yield f"the input of classifier '{place}' is no batch of features"
    elif not same(seen["output"].detach(), logits.detach()):
        yield f"the output of classifier '{place}' is not the logits"


# -- data sets -------------------------------------------------------------------------------------


def check_dataset(part: Any) -> Iterator[str]:
    """Checks a data set's description and images, if they lie under `DDBENCH_DATA`."""
    argument = part.argument
    if argument and not getattr(part, argument):
        return
    root = find_data_root(None)
    try:
        info = part.info(root)
    except DDBenchError:  # an answer: the data lie elsewhere
        return
    wrong = list(_check_info(info))
    yield from wrong
    if wrong:
        return
    if part.info(root) != info:
        yield "info differs from call to call"
    part = replace(part, resolution=SCALED)
    info = part.info(root)
    if info.shape[1:] != (SCALED, SCALED):
        yield f"info has shape {info.shape} at resolution {SCALED}"
        return
    splits: tuple[Literal["train", "test"], ...] = ("train", "test")
    for split in splits:
        yield from guarded(f"read {split}", partial(_check_split, part, root, info, split))


def _check_info(info: Any) -> Iterator[str]:
    if not isinstance(info, DatasetInfo):
        yield f"info gave {type(info).__name__}, expected DatasetInfo"
        return
    classes, channels = len(info.classes), info.shape[0]
    if classes < 2 or len(set(info.classes)) != classes:
        yield f"info has {classes} classes, {len(set(info.classes))} of them distinct"
    if len(info.train_counts) != classes or len(info.test_counts) != classes:
        yield "train_counts and test_counts do not have one number a class"
    if len(info.mean) != channels or len(info.std) != channels or min(info.std, default=0) <= 0:
        yield f"mean and std do not have {channels} numbers, std above 0"
    if info.shape[1] != info.shape[2]:
        yield f"images are {info.shape[1]} x {info.shape[2]}, expected squares"
    if not info.fingerprint:
        yield "fingerprint is empty: other data could not be told apart"
    if info.titles and len(info.titles) != classes:
        yield "titles do not have one a class"


def _check_split(
    part: Any, root: Path | None, info: DatasetInfo, split: Literal["train", "test"]
) -> Iterator[str]:
    wanted = info.train_counts if split == "train" else info.test_counts
    counts = torch.zeros(info.num_classes, dtype=torch.long)
    for images, labels in part.read(split, root):
        shape = tuple(images.shape[1:])
        if str(images.dtype).rpartition(".")[2] != "uint8" or shape != info.shape:
            yield f"{split} images are {images.dtype} {shape}, expected uint8 {info.shape}"
            return
        rows = torch.as_tensor(labels)
        if len(rows) != len(images) or not 0 <= int(rows.min()) <= int(rows.max()) < len(counts):
            yield f"{split} labels are not one of {len(counts)} classes an image"
            return
        counts += torch.bincount(rows.long(), minlength=len(counts))
        if int(counts.sum()) >= MOST_READ:
            return
    if tuple(counts.tolist()) != wanted:
        yield f"{split} has {counts.tolist()} images a class, info says {list(wanted)}"


# -- protocols and recipes -------------------------------------------------------------------------


def check_protocol(name: str, part: Any) -> Iterator[str]:
    """Checks a protocol for a small and for a large data set."""
    for pixels in (8, 224):
        protocol = part(tiny_info(pixels=pixels))
        if not isinstance(protocol, Protocol):
            yield f"gave {type(protocol).__name__} at {pixels} pixels, expected Protocol"
            return
        if protocol.name != name:
            yield f"calls itself '{protocol.name}', registered as '{name}'"
        if not 0 <= protocol.holdout < 1:
            yield f"holdout is {protocol.holdout:g}, expected 0 to below 1"
        yield from _check_training("training", protocol.training)


def _check_training(what: str, training: Any) -> Iterator[str]:
    if not isinstance(training, Training):
        yield f"{what} is {type(training).__name__}, expected Training"
    elif training.epochs < 1 or training.batch_size < 1 or training.lr <= 0:
        yield f"{what} has epochs, batch_size or lr below 1, 1, or at 0"


def check_recipe(name: str, part: Any, check_part: CheckPart) -> Iterator[str]:
    """Checks recipes at several resolutions and counts, and every part of the first."""
    for pixels in (8, 32, 64, 224):
        for ipc in (1, 50, None):
            info = tiny_info(pixels=pixels)
            recipe = part(info, ipc)
            wrong = list(_check_composition(name, recipe))
            yield from wrong
            if wrong:
                return
            if spell_text(part(info, ipc)) != spell_text(recipe):
                yield "differs from call to call"
    recipe = part(tiny_info(), 1)
    parts = [("matcher", term.name, term.part) for term in recipe.matchers]
    parts += [("regularizer", term.name, term.part) for term in recipe.regularizers]
    parts.append(("distiller", "distiller", recipe.distiller))
    parts.append(("labeller", "labeller", recipe.labeller))
    parts += [("architecture", named.name, named.part) for named in recipe.companions]
    for kind, title, used in parts:
        for problem in check_part(kind, title, used):
            yield f"{kind if kind == title else f'{kind} {title}'}: {problem}"


def _check_composition(name: str, recipe: Any) -> Iterator[str]:
    if not isinstance(recipe, Recipe):
        yield f"gave {type(recipe).__name__}, expected Recipe"
        return
    if recipe.name != name:
        yield f"calls itself '{recipe.name}', registered as '{name}'"
    if "objective" in recipe.distiller.needs and not (recipe.matchers or recipe.regularizers):
        yield "optimises images but has no matcher and no regularizer"
    for claim in recipe.card.claims:
        if claim.metric == "top1" and not 0 <= claim.value <= 100:
            yield f"claims {claim.value:g} % on {claim.dataset}"
        elif not claim.value >= 0 or math.isinf(claim.value):
            yield f"claims {claim.metric} = {claim.value:g} on {claim.dataset}"
    yield from _check_training("squeeze", recipe.squeeze)
