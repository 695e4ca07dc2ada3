"""What stages make lies in artifacts under the names that older caches have, and is read again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from ddbench.pipeline.results import (
    ClassAtoms,
    DistilledImages,
    LabelledFeatures,
    NetworkWeights,
    PreparedPieces,
    Result,
    StoredLabels,
    StudentTrial,
)

ROWS, BYTES = torch.tensor([4, 1]), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
REAL = torch.rand(2, 5)
LABELS, WEIGHTS = torch.tensor([0, 1]), torch.ones(2)
SET = {"labels": LABELS, "weights": WEIGHTS}
VIEWS = {"views": torch.rand(3, 2, 5).half(), "rows": torch.tensor([[0, 1]] * 3)}
ANSWERS = {"logits": REAL, "labels": LABELS}
TRAINING = {"training_loss": torch.tensor([0.5, 0.25, 0.125]), "threads": torch.tensor(2)}


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        (NetworkWeights({"0.weight": REAL}), {"0.weight": REAL}),
        (LabelledFeatures(REAL, LABELS), {"features": REAL, "labels": LABELS}),
        (ClassAtoms(REAL, WEIGHTS), {"points": REAL, "weights": WEIGHTS}),
        (PreparedPieces((REAL, WEIGHTS)), {"000000": REAL, "000001": WEIGHTS}),
        (DistilledImages(images=BYTES, **SET), {"images": BYTES, **SET}),
        (DistilledImages(indices=ROWS, **SET), {"indices": ROWS, **SET}),
        (StoredLabels(logits=REAL), {"logits": REAL}),
        (StoredLabels(**VIEWS), VIEWS),
        (StudentTrial(**ANSWERS, **TRAINING), {**ANSWERS, **TRAINING}),
        (StudentTrial(**ANSWERS), ANSWERS),  # artifacts from before losses and threads were kept
    ],
)
def test_a_result_is_stored_under_the_names_of_older_caches_and_read_again(
    result: Result, stored: Mapping[str, Tensor]
) -> None:
    assert save(result.to_tensors()) == save(dict(stored))
    again = type(result).from_tensors(stored)
    assert save(again.to_tensors()) == save(dict(stored))


def test_pieces_are_read_in_order() -> None:
    pieces = tuple(torch.tensor([number]) for number in range(12))
    stored = dict(reversed(PreparedPieces(pieces).to_tensors().items()))
    assert PreparedPieces.from_tensors(stored).pieces == pieces


def test_a_tensor_of_a_later_version_is_left_out_and_a_missing_one_is_an_error() -> None:
    later = {**ANSWERS, "confidence": WEIGHTS}
    assert StudentTrial.from_tensors(later).to_tensors().keys() == ANSWERS.keys()
    with pytest.raises(TypeError, match="labels"):
        StudentTrial.from_tensors({"logits": REAL})


def test_a_selection_is_looked_up_in_the_training_images() -> None:
    real = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 4, 4)
    chosen = DistilledImages(indices=ROWS, **SET).look_up(real)
    assert chosen.pixels[:, 0, 0, 0].tolist() == [4, 1]
    made = DistilledImages(images=BYTES, **SET)
    assert made.look_up(real) is made


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_evaluators_see_pixels_from_0_to_1(dtype: torch.dtype) -> None:
    white = 255 if dtype == torch.uint8 else 1
    images = torch.full((2, 3, 4, 4), white, dtype=dtype)
    assert DistilledImages(images=images, **SET).as_set().images.unique().tolist() == [1.0]
