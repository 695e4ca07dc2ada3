"""Everything a plug-in can provide or observe.

A plug-in is a module, named by an entry point in the group `ddbench`, with one or more of these
functions under `@ddbench.hookimpl`. Providers return a mapping from name to a ready-to-use part;
options are replaced on it later. Names are lower_snake_case and unique per kind: a second provider
of a name is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # roles import torch, which `ddbench --help` must not
    from ddbench.api import roles
    from ddbench.api.distiller import Distiller
    from ddbench.api.recipe import Protocol, Recipe
    from ddbench.api.record import Record
    from ddbench.api.types import DatasetInfo

hookspec = pluggy.HookspecMarker("ddbench")
hookimpl = pluggy.HookimplMarker("ddbench")

# -- the three roles that a new method usually brings ------------------------------------------


@hookspec
def ddbench_matchers() -> Mapping[str, roles.Matcher]:
    """Losses that pull synthetic features towards real ones.

    The targets stage calls `matcher.target.atoms` once per class, the recover stage
    `matcher.loss` at every step.
    """
    raise NotImplementedError


@hookspec
def ddbench_regularizers() -> Mapping[str, roles.Regularizer]:
    """Penalties that keep synthetic images plausible.

    `regularizer.statistics` says what the statistics stage must collect; two regularizers that
    want an equal statistic share one pass and one artifact.
    """
    raise NotImplementedError


@hookspec
def ddbench_evaluators() -> Mapping[str, roles.Evaluator]:
    """Metrics read off a trained student or a distilled set. Adding one trains nothing."""
    raise NotImplementedError


# -- the rest of a cell ------------------------------------------------------------------------


@hookspec
def ddbench_distillers() -> Mapping[str, Distiller]:
    """Ways to make the images: optimise pixels, select real ones."""
    raise NotImplementedError


@hookspec
def ddbench_labellers() -> Mapping[str, roles.Labeller]:
    """Ways to label them: hard, soft, soft per epoch and crop."""
    raise NotImplementedError


@hookspec
def ddbench_datasets() -> Mapping[str, roles.Dataset]:
    """Real data, with class names, normalisation and a fingerprint."""
    raise NotImplementedError


@hookspec
def ddbench_architectures() -> Mapping[str, roles.Architecture]:
    """Networks for teachers and students."""
    raise NotImplementedError


@hookspec
def ddbench_protocols() -> Mapping[str, Callable[[DatasetInfo], Protocol] | Path]:
    """Frozen, versioned ways to train and judge a student, each a function or a TOML file."""
    raise NotImplementedError


@hookspec
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    """Methods: a function of (data set, images per class), because papers tune by both."""
    raise NotImplementedError


@hookspec
def ddbench_formats() -> Mapping[str, roles.SetFormat]:
    """Layouts in which distilled sets are imported and exported."""
    raise NotImplementedError


@hookspec
def ddbench_aliases() -> Mapping[str, str]:
    """Other accepted names, as `"regularizer:pcbn": "class_batch_norm"`."""
    raise NotImplementedError


# -- observers: called on every plug-in, return nothing, cannot change a number ------------------


@hookspec
def ddbench_stage_done(
    stage: str, key: str, seconds: float, peak_bytes: int | None, cached: bool
) -> None:
    """A stage has its artifact. For experiment trackers."""


@hookspec
def ddbench_cell_done(record: Record) -> None:
    """A cell has a record, which may be one of failure."""
