"""`ddbench eval`: students on a stored distilled set."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.cli.options import (
    HowFlags,
    LayoutOption,
    PixelsOption,
    flag,
    group_options,
    split_list,
)
from ddbench.cli.outputs import show_progress
from ddbench.cli.run import exit_if_failed, print_outcome, run_plans

if TYPE_CHECKING:
    from ddbench.config.stored_cells import Choices
    from ddbench.pipeline.plan import Plan


_card_flag = functools.partial(flag, means="the card's")


@dataclass(frozen=True, kw_only=True)
class SetFlags:
    """Options for what a set does not record, or what replaces what it does."""

    arch: str | None = _card_flag("--arch", "-a", help="Architectures of the students.")
    dataset: str | None = _card_flag("--dataset", "-d", help="The data set.")
    labels: str | None = _card_flag(
        "--labels", "-l", help="A labeller, or 'stored' for the labels that came with the set."
    )
    teacher: str | None = _card_flag("--teacher", help="The network that labels.")
    protocol: str | None = _card_flag("--protocol", help="How students are trained.")
    layout: LayoutOption = ""
    pixels: PixelsOption = None
    learned_rate: bool = flag(
        "--learned-rate", help="Train students at the set's learned step size.", default=False
    )
    evaluator: str | None = flag("--evaluator", "-e", help="Evaluators besides accuracy.")
    seeds: Annotated[int, typer.Option("--seeds", help="Number of students.", min=1)] = 3
    reference: bool = flag("--reference/--no-reference", help="Add reference rows.", default=False)

    def make_choices(self) -> Choices:
        """Returns what decides the cells."""
        from ddbench.config.stored_cells import Choices

        return Choices(
            students=tuple(split_list(self.arch)),
            labels=self.labels or "",
            teacher=self.teacher or "",
            protocol=self.protocol or "",
            seeds=self.seeds,
            reference=self.reference,
            learned_rate=self.learned_rate,
        )


@group_options
def eval_(
    path: Annotated[Path, typer.Argument(help="A distilled set in any of `ddbench list formats`.")],
    given: SetFlags,
    how: HowFlags,
) -> None:
    """Train students on a stored distilled set and evaluate them.

    The data set, labels and protocol are read from the set's card. Pass the options below for
    anything that it does not record.
    """
    from ddbench.cli.exchange import choose_format
    from ddbench.config.stored_cells import plan_stored_set
    from ddbench.data.exchange import SetFacts, identify_set, read_set

    with show_progress() as progress:
        session = how.open_session(progress)
        registry, root = session.registry, session.ctx.data_root
        evaluators = session.evaluators(split_list(given.evaluator))
        distilled = read_set(path, choose_format(path, given.layout, registry, "--layout"))
        facts = SetFacts(dataset=given.dataset or "", pixels=given.pixels or "")
        distilled = identify_set(distilled, facts, registry, root, path)
        plans = plan_stored_set(distilled, given.make_choices(), session, evaluators, path)
        _tell_of_views(plans)
        outcome = run_plans(session, plans, evaluators)
    print_outcome(outcome, how.format, str(path), evaluators)
    exit_if_failed(outcome)


def _tell_of_views(plans: list[Plan]) -> None:
    """Says where students see stored views, which replace a part of the protocol."""
    from ddbench.data.stored_set import Replayed

    labeller = plans[0].cell.recipe.labeller if plans else None
    if isinstance(labeller, Replayed):
        text = f"students see {labeller.epochs} stored epochs of views, in batches of "
        text += f"{labeller.views.batches[0]}, instead of the protocol's augmentation"
        typer.echo(text, err=True)
