"""Options: groups of them are options of their own on the command line, empty ones are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from ddbench.api.errors import DDBenchError
from ddbench.cli.options import flag, group_options, split_list, split_numbers


@dataclass(frozen=True, kw_only=True)
class Where:
    place: str | None = flag("--place", "-p", help="Place.", means="here")


@dataclass(frozen=True, kw_only=True)
class Group(Where):
    many: Annotated[int, typer.Option("--many", help="How many.")] = 3


def run(*words):
    calls = []
    app = typer.Typer()

    @app.command()
    @group_options
    def command(
        name: Annotated[str, typer.Argument()],
        group: Group,
        last: Annotated[bool, typer.Option()] = False,
    ) -> None:
        """Do something."""
        calls.append((name, group, last))

    return CliRunner().invoke(app, words), calls


def test_the_fields_of_a_group_are_options_of_their_own():
    done, calls = run("x", "-p", "there", "--many", "5", "--last")
    assert done.exit_code == 0, done.output
    assert calls == [("x", Group(place="there", many=5), True)]
    assert run("x")[1] == [("x", Group(), False)]


def test_help_shows_them_with_their_defaults():
    done, _ = run("--help")
    assert "Do something." in done.output
    for text in ("--place", "[default: (here)]", "--many", "[default: 3]", "--last"):
        assert text in done.output


@pytest.mark.parametrize("text", ["", " ", " ,"])
def test_an_option_that_names_nothing_is_refused(text):
    done, calls = run("x", "-p", text)
    assert isinstance(done.exception, DDBenchError)
    assert done.exception.problem == "--place is empty"
    assert not calls


def test_commas_between_brackets_belong_to_options():
    assert split_list("a[x=1,y=2], b,,c") == ["a[x=1,y=2]", "b", "c"]
    assert split_list(None) == []
    assert split_numbers("1, 10", "--ipc") == [1, 10]
    with pytest.raises(DDBenchError, match="--ipc 'ten' is not a whole number"):
        split_numbers("1,ten", "--ipc")
