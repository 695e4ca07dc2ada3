"""prepare: what a distiller wants made ahead of any image; finished pieces survive a kill."""

from __future__ import annotations

from collections.abc import Callable

from ddbench.api.errors import DivergedError
from ddbench.data.real import RealData
from ddbench.pipeline.results import PreparedPieces
from ddbench.pipeline.specs import Prepare
from ddbench.pipeline.stages.groups import Losses, clear_on_fault
from ddbench.pipeline.stages.problem import StageProblem
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.store.cache import GROUP, PartialGroups


def prepare(
    spec: Prepare, data: RealData, partial: PartialGroups, ctx: Context, meter: Meter
) -> tuple[PreparedPieces, dict[str, float]]:
    """Makes the pieces of a preparation, in order.

    Args:
        spec: What to do.
        data: The real data.
        partial: Where finished pieces are kept until all are.
        ctx: Device, precision, progress.
        meter: Counts updates.

    Raises:
        DivergedError: a loss is not finite.
    """
    part, pieces = spec.preparation, []
    updates = part.updates(data.info)
    title = "prepare: once for all seeds"
    with clear_on_fault(partial), ctx.progress.stage(title, part.pieces * updates) as advance:
        for number in range(part.pieces):
            kept = partial.get(number)
            if kept is None:
                losses = Losses(_diverged(number + 1, part.pieces), advance, meter)
                problem = StageProblem(
                    info=data.info,
                    device=ctx.device,
                    seed=spec.seed,
                    data=data,
                    architecture=spec.architecture,
                    ctx=ctx,
                    on_tick=losses,
                )
                piece = part.piece(problem, number)
                losses.last()
                kept = {GROUP: piece.detach().cpu()}
                partial.put(number, kept)
            else:
                advance(updates)
            pieces.append(kept[GROUP])
    return PreparedPieces(tuple(pieces)), {}


def _diverged(number: int, pieces: int) -> Callable[[float, int], DivergedError]:
    return lambda value, done: DivergedError(
        f"prepare: the loss is not finite after {done} updates, piece {number} of {pieces}",
        hint="lower its learning rate (ddbench show METHOD names the options)",
    )
