"""Settings that recipes share: how teachers are trained, at each resolution."""

from __future__ import annotations

from ddbench.spec import Augmentation, Provenance, Training
from ddbench.types import DatasetInfo


def family(info: DatasetInfo) -> str:
    """The data set's name without its resolution: `imagenette` for `imagenette@64`."""
    return info.name.partition("@")[0]


TEACHER_HERE = Provenance(
    settings=(
        "Teacher's training: the WMDD paper's (Table 7) above 64 pixels, this project's below; "
        "shared by all methods, so that rows differ in the method alone"
    ),
    source="here",
)
SMALL_HERE = Provenance(settings="Everything at 16 pixels and below", source="here")
UNCLEAR = "No licence file lies in the copy of the released code at hand. "
ANEW = "No line of it is used: this is written anew from the paper's equations."


def smoke(**options: object) -> dict[str, dict[str, str]]:
    """The profile `smoke`: a method from end to end in a few steps.

    Args:
        options: Of the distiller, such as `iterations=5`.
    """
    trained = {"squeeze.epochs": "2", "evaluate.epochs": "4", "evaluate.max_updates": "20"}
    return {"smoke": {**trained, **{f"recover.{name}": str(v) for name, v in options.items()}}}


def teacher_training(info: DatasetInfo, paper_epochs: int = 100) -> Training:
    """How the teacher is trained.

    From 128 pixels on as in the paper's Table 7: SGD 0.025, momentum 0.9, weight decay 1e-4,
    batches of 32, cosine. Below, one-cycle SGD of minutes on a CPU. Its rate is low because images
    are distilled through it: on imagenette@64 a teacher at 0.08 gave one class activations of a
    hundred times the others' variance, and its images stayed noise. On held-out training images
    (IPC 10, teacher labels, one seed) WMDD reached 53.9 % at 0.02 against 49.7 % at 0.08. Up to 16
    pixels AdamW without label smoothing: on held-out training digits (IPC 1, teacher labels,
    three seeds) WMDD from such a teacher reached 83.2 % against 50.2 to 52 % from the SGD one.
    """
    if info.resolution > 64:
        return Training(
            epochs=paper_epochs,
            batch_size=32,
            optimizer="sgd",
            lr=0.025,
            weight_decay=1e-4,
            schedule="cosine",
            augmentation=Augmentation(crop=(0.08, 1.0), mix="none"),
        )
    if info.resolution > 16:
        return Training(
            epochs=8,
            batch_size=64,
            optimizer="sgd",
            lr=0.02,
            nesterov=True,
            weight_decay=5e-4,
            schedule="onecycle",
            label_smoothing=0.1,
            augmentation=Augmentation(crop=(0.35, 1.0), mix="none"),
        )
    return Training(
        epochs=8,
        batch_size=64,
        optimizer="adamw",
        lr=0.001,
        weight_decay=0.01,
        schedule="cosine",
        augmentation=Augmentation(crop=(0.6, 1.0), mix="none"),
    )
