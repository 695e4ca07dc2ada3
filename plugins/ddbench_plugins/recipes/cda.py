"""CDA: SRe2L with crops that begin with whole images and come to keep less of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.optimize import Curriculum, Optimize
from ddbench_plugins.recipes._settings import derive, find_script
from ddbench_plugins.recipes.sre2l import sre2l


def cda(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Takes SRe2L's objective and loop, under a cosine curriculum over all iterations."""
    base = sre2l(info, ipc)
    assert isinstance(base.distiller, Optimize)
    crop = base.distiller.crop
    # Where SRe2L's settings leave crops out or keep them large, the curriculum's end is this.
    end = crop[0] if isinstance(crop, tuple) and crop[0] < 1 else 0.08
    distiller = replace(base.distiller, crop=Curriculum(smallest=end))
    regularizers = base.regularizers
    if find_script(info) == "tiny_imagenet":
        distiller = replace(distiller, lr=0.4, roll=(0, 4))
        regularizers = (replace(regularizers[0], weight=0.05),)
    return derive(base, "cda", distiller=distiller, regularizers=regularizers)


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"cda": cda}
