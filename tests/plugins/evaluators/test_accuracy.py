"""Accuracy against scikit-learn, torchmetrics and cases known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_accuracy

from ddbench.api.types import DatasetInfo
from ddbench.pipeline.scoring import LentTrial
from ddbench_plugins.evaluators.accuracy import Accuracy, count_hits


def trial_of(logits, labels, features=None):
    classes = tuple(f"class {cls}" for cls in range(logits.shape[1]))
    counts = (1,) * len(classes)
    info = DatasetInfo("toy", classes, (1, 2, 2), (0.0,), (1.0,), counts, counts, "")
    return LentTrial(logits, labels, info, 0, {"features": features} if features else {})


def test_accuracy_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.5, 0.0, 0.2], [0.0, 3.0, 1.0]])
    found = Accuracy().evaluate(trial_of(logits, torch.tensor([0, 1, 0, 1])))
    assert found == {"top1": 75.0}


@pytest.mark.parametrize("count", [1, 40, 5000])
@pytest.mark.parametrize("classes", [6, 12])
def test_accuracy_agrees_with_scikit_learn_and_torchmetrics(count, classes):
    rng = torch.Generator().manual_seed(count)
    logits = torch.randn(count, classes, generator=rng)
    labels = torch.randint(0, classes, (count,), generator=rng)
    found = Accuracy().evaluate(trial_of(logits, labels))
    everyone = np.arange(classes)
    top5 = top_k_accuracy_score(labels.numpy(), logits.numpy(), k=5, labels=everyone)
    assert found["top1"] == pytest.approx(100 * accuracy_score(labels, logits.argmax(1)))
    assert found["top5"] == pytest.approx(100 * top5)
    for name, guesses in (("top1", 1), ("top5", 5)):
        theirs = multiclass_accuracy(logits, labels, classes, average="micro", top_k=guesses)
        assert found[name] == pytest.approx(100 * float(theirs), rel=1e-5)


def test_top5_needs_more_than_five_classes():
    assert Accuracy().evaluate(trial_of(torch.eye(5), torch.arange(5))) == {"top1": 100.0}
    assert Accuracy().evaluate(trial_of(torch.eye(6), torch.arange(6)))["top5"] == 100.0


def test_hits_count_rows_across_chunks():
    logits = torch.zeros(5000, 7)
    logits[:, 3] = 1
    labels = torch.arange(5000) % 7
    assert count_hits(logits, labels, 1) == int((labels == 3).sum())


def test_the_accuracy_is_of_all_images_and_not_the_best_so_far():
    """SCDD's release keeps the best of running means: here 100 %, after the first batches."""
    labels = torch.arange(4000) % 7
    logits = torch.nn.functional.one_hot(labels, 7).float()
    logits[3000:] = logits[3000:].roll(1, 1)  # the last images are all mistaken
    assert Accuracy().evaluate(trial_of(logits, labels))["top1"] == 75.0
