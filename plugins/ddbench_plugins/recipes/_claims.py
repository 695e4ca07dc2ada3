"""Published accuracies as claims, from the tables that recipes write down."""

from __future__ import annotations

from collections.abc import Mapping

from ddbench.api.recipe import Claim

Published = float | tuple[float, float]
"""Top-1 in percent, with its spread where the paper gives one."""
TABLE_1 = "WMDD paper, Table 1"
TABLE_2 = "WMDD paper, Table 2"


def table_claims(
    rows: Mapping[str, Mapping[int, Published]],
    setting: str,
    student: str = "resnet18",
    source: str = TABLE_1,
) -> tuple[Claim, ...]:
    """One claim for each data set and number of images per class.

    Args:
        rows: Data set, then images per class, then top-1.
        setting: What the figures were measured under.
        student: The architecture of all of them; "" where the paper says nothing of it.
        source: Where they stand.
    """
    return tuple(
        _claim(dataset, ipc, student, found, source, setting)
        for dataset, row in rows.items()
        for ipc, found in row.items()
    )


def transfer_claims(students: Mapping[str, Published], setting: str) -> tuple[Claim, ...]:
    """Those of the WMDD paper's Table 2: ImageNet-1K, 50 images per class, distilled by ResNet-18.

    Args:
        students: Architecture, then top-1.
        setting: What the figures were measured under.
    """
    return tuple(
        _claim("imagenet1k", 50, student, found, TABLE_2, setting)
        for student, found in students.items()
    )


def _claim(
    dataset: str, ipc: int, student: str, found: Published, source: str, setting: str
) -> Claim:
    value, sd = found if isinstance(found, tuple) else (found, None)
    return Claim(
        dataset=dataset, ipc=ipc, student=student, value=value, sd=sd, source=source,
        setting=setting,
    )  # fmt: skip
