"""The command line. Every command parses, calls the harness and prints; nothing else happens here.

Imports every other package of ddbench, and none imports it. It must stay light: `ddbench --help`
imports neither torch nor any plug-in.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from ddbench.api.errors import STOPPED, STOPPED_CODE, DDBenchError, DDBenchWarning
from ddbench.cli import (
    cache,
    data,
    doctor,
    exchange,
    leaderboard,
    plugins,
    report,
    reproduce,
    run,
    show,
    table,
)
from ddbench.cli import eval as eval_command
from ddbench.cli import list as list_command
from ddbench.runtime.lazy_torch import defer_torch


class _Commands(TyperGroup):
    """The commands; says what Ctrl-C stopped, where typer would exit without a word."""

    def invoke(self, ctx: Any) -> Any:  # typer brings its own click in some versions
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo(STOPPED, err=True)
            raise typer.Exit(STOPPED_CODE) from None


app = typer.Typer(
    name="ddbench",
    cls=_Commands,
    help="Benchmark dataset distillation: method x data set x IPC x architecture, one command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from ddbench import __version__

        typer.echo(f"ddbench {__version__}")
        raise typer.Exit


COMMANDS: dict[str, Callable[..., Any]] = {
    "run": run.run,
    "list": list_command.list_,
    "show": show.show,
    "doctor": doctor.doctor,
    "table": table.table,
    "report": report.report,
    "reproduce": reproduce.reproduce,
    "new": plugins.new,
    "check": plugins.check,
    "eval": eval_command.eval_,
    "import": exchange.import_,
    "export": exchange.export,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
app.add_typer(leaderboard.app, name="leaderboard")


def main() -> None:
    """Runs a command: a user's mistake is a sentence and exit code 2, never a traceback."""
    defer_torch()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where the output's encoding lacks a letter, say ± in ASCII, it becomes a question mark.
        sys.stdout.reconfigure(errors="replace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            warnings.simplefilter("always", DDBenchWarning)
            app(prog_name="ddbench")
    except DDBenchError as fault:
        show_error(fault)
        sys.exit(2)


_show_otherwise = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Shows ddbench's warnings in one line, those of other packages as Python does."""
    if issubclass(category, DDBenchWarning):
        typer.echo(f"warning: {message}", err=True)
    else:
        _show_otherwise(message, category, filename, lineno, file, line)


def show_error(fault: DDBenchError) -> None:
    """Prints problem, facts and hint on standard error."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(str(fault), err=True)
