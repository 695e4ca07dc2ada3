"""CDA: SRe2L with crops that begin with whole images and come to keep less of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import Provenance, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.optimize import Curriculum, Optimize
from ddbench_plugins.recipes._claims import table_claims, transfer_claims
from ddbench_plugins.recipes._settings import TEACHER_HERE, scripted
from ddbench_plugins.recipes.sre2l import GROUPS, sre2l

CLAIMS = {
    "tiny_imagenet": {50: 48.7, 100: 53.2},
    "imagenet1k": {50: 53.5, 100: 58.0},
}
"""WMDD paper, Table 1: ResNet-18; no spreads are given."""
TRANSFER_CLAIMS = {"resnet50": 60.79, "resnet101": 61.74, "vit_tiny": 31.22, "vit_small": 32.97}
"""WMDD paper, Table 2: ImageNet-1K, IPC 50, distilled from ResNet-18."""
SETTING = "300 student epochs, teacher labels, batches of 128"


def cda(info: DatasetInfo, ipc: int | None) -> Recipe:
    """SRe2L's objective and loop under a cosine curriculum over all iterations."""
    base = sre2l(info, ipc)
    assert isinstance(base.distiller, Optimize)
    crop = base.distiller.crop
    # Where SRe2L's settings leave crops out or keep them large, the curriculum's end is this.
    end = crop[0] if isinstance(crop, tuple) and crop[0] < 1 else 0.08
    distiller = replace(base.distiller, crop=Curriculum(smallest=end))
    regularizers = base.regularizers
    if scripted(info) == "tiny_imagenet":
        distiller = replace(distiller, lr=0.4, roll=(0, 4))
        regularizers = (replace(regularizers[0], weight=0.05),)
    return replace(
        base,
        name="cda",
        title="CDA",
        distiller=distiller,
        regularizers=regularizers,
        reference=(
            "Yin and Shen, Dataset Distillation via Curriculum Data Synthesis in Large Data Era, "
            "TMLR 2024, arXiv:2311.18838"
        ),
        objective=f"{base.objective}; crops keep at least s(t), from 1 down to 0.08 by a cosine",
        provenance=(
            Provenance(
                settings=(
                    "ImageNet-1K above 64 pixels and Tiny ImageNet at 64: rate, r, 4,000 "
                    "iterations, cosine to the last"
                ),
                source="code",
            ),
            Provenance(
                settings=(
                    "Other data sets, and these at other sizes: SRe2L's; fewer iterations at 64 "
                    "pixels and below"
                ),
                source="here",
            ),
            TEACHER_HERE,
        ),
        claims=table_claims(CLAIMS, SETTING) + transfer_claims(TRANSFER_CLAIMS, SETTING),
        notes=(
            "The released code's default milestone is 0, which is SRe2L without a curriculum; its "
            "scripts pass 1, as here.",
            "CDA trains students in batches of 128, SRe2L of 1024: figures under the two are not "
            "comparable. Here every row has the batch of the protocol.",
            GROUPS,
        ),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"cda": cda}
