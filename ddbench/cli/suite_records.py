"""The records of a suite's cells, for `ddbench table SUITE` and `ddbench leaderboard add`."""

from __future__ import annotations

from pathlib import Path

from ddbench.api.record import Record


def of_suite(
    found: list[Record], suite: Path, profile: str, set_: list[str], data_root: Path | None,
    cache: Path | None,
) -> tuple[list[Record], str, set[str]]:  # fmt: skip
    """The records of a suite's cells in any precision, under the names that it gives them, its
    title, and the metrics that it asks for."""
    from ddbench.config.overrides import parse_assignment
    from ddbench.config.session import open_session
    from ddbench.config.suite import read_suite
    from ddbench.pipeline.recording import rename_record

    flags = {"set": dict(parse_assignment(text) for text in set_)} if set_ else {}
    table = read_suite(suite, profile, flags)
    session = open_session(data_root=data_root, cache=cache)
    evaluators = session.evaluators(table.evaluator)
    of_trials = {}
    for record in found:
        of_trials.setdefault(tuple(record.keys.get("evaluate", ())), {})[record.key] = record
    plans = [
        made
        for number, precision in enumerate(sorted({record.precision for record in found}))
        for made in session.plans(table, evaluators, precision=precision, warn_unused=number == 0)
    ]
    asked = {metric.name for part in evaluators.values() for metric in part.metrics}
    shown = []
    for made in plans:
        # Evaluators that were asked besides the suite's may have looked through a teacher.
        alike = of_trials.get(tuple(stage.key for stage in made.evaluate), {})
        if alike:
            shown.append(rename_record(alike.get(made.key, [*alike.values()][-1]), made))
    return shown, table.title, asked
