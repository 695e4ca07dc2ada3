"""Opens what a command works with: plug-ins, device, cache, data root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator
from ddbench.config.grid import expand
from ddbench.config.suite import SuiteTable, make_selection, refuse_lost_claims
from ddbench.config.terms import choose_evaluator
from ddbench.pipeline.plan import Plan
from ddbench.pipeline.scoring import wanted_statistics
from ddbench.registry import Registry, load
from ddbench.runtime.context import (
    Context,
    Precision,
    choose_device,
    choose_precision,
    find_data_root,
    make_current,
)
from ddbench.runtime.memory import keep_freed_memory
from ddbench.runtime.progress import NoProgress, Progress
from ddbench.store.cache import Cache, find_cache

DEFAULT_EVALUATORS = ("accuracy",)


@dataclass(frozen=True, slots=True)
class Session:
    """Plug-ins, device, cache and data root of one command."""

    registry: Registry
    ctx: Context
    cache_root: Path

    def cache(self) -> Cache:
        """Opens the cache folder, and makes it if it is not there; a dry run does without."""
        return Cache(self.cache_root)

    def evaluators(self, names: list[str]) -> dict[str, Evaluator]:
        """Finds the default evaluators and those named, as `NAME` or `NAME[OPTION=VALUE,…]`.

        Raises:
            DDBenchError: an unknown name or option, one with two sets of options, or two that
                report a metric of one name.
        """
        chosen: dict[str, Evaluator] = {}
        for text in (*DEFAULT_EVALUATORS, *names):
            name, evaluator = choose_evaluator(text, self.registry)
            if chosen.setdefault(name, evaluator) != evaluator:
                raise DDBenchError(
                    f"the evaluator '{name}' is asked with two sets of options",
                    "a record holds one number a metric",
                    hint="leave one of them out",
                )
        _refuse_shared_metrics(chosen)
        return chosen

    def plans(
        self,
        suite: SuiteTable,
        evaluators: Mapping[str, Evaluator],
        *,
        precision: Precision | None = None,
        warn_unused: bool = True,
        stand_ins: bool = False,
    ) -> list[Plan]:
        """Plans every cell of a suite.

        Args:
            suite: The grid.
            evaluators: Whose statistics the cells need.
            precision: Instead of the session's.
            warn_unused: Whether to warn of options and teachers that no row reads.
            stand_ins: Whether other images will take the place of those of the rows.

        Raises:
            DDBenchError: what the suite asks for does not exist, or a claim belongs to no row.
        """
        refuse_lost_claims(suite, self.registry)
        selection = make_selection(suite, precision or self.ctx.precision)
        extra = wanted_statistics(evaluators)
        return expand(
            selection,
            self.registry,
            self.ctx.data_root,
            extra,
            warn_unused=warn_unused,
            stand_ins=stand_ins,
        )


def _refuse_shared_metrics(evaluators: Mapping[str, Evaluator]) -> None:
    """Refuses two metrics of one name: a record holds one number a metric."""
    owner: dict[str, str] = {}
    for name, evaluator in evaluators.items():
        for metric in evaluator.metrics:
            first = owner.setdefault(metric.name, name)
            if first != name:
                raise DDBenchError(
                    f"two evaluators report '{metric.name}'",
                    f"{first} and {name}",
                    hint="leave one out of --evaluator, or rename the metric in yours",
                )


def open_session(
    device: str = "auto",
    precision: str = "auto",
    data_root: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    *,
    compile: bool = False,
    checkpoint: bool = False,
) -> Session:
    """Loads the plug-ins and chooses device and precision.

    Raises:
        DDBenchError: no such device or precision, or two plug-ins of one name.
    """
    chosen = choose_device(device)
    if chosen == "cpu":
        keep_freed_memory()
    make_current(chosen)
    ctx = Context(
        device=chosen,
        precision=choose_precision(precision, chosen),
        progress=progress or NoProgress(),
        data_root=find_data_root(data_root),
        compile=compile,
        checkpoint=checkpoint,
    )
    return Session(load(), ctx, find_cache(cache))
