"""Draws images to nothing, so that regularizers act alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher
from ddbench.api.types import Step


class Nothing(Matcher):
    """A loss of zero."""

    separable = True

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns 0, without a gradient."""
        return step.images.new_zeros(())


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"none": Nothing()}
