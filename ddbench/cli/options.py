"""Options that several commands share, groups of options, and what their texts mean."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ddbench.api.errors import DDBenchError, unknown

if TYPE_CHECKING:
    from ddbench.config.session import Session
    from ddbench.runtime.progress import Progress

FORMATS = ("terminal", "md", "csv", "tex")


def check_format(name: str) -> str:
    """Checks that a format of tables exists; the callback of its option.

    Raises:
        DDBenchError: it does not.
    """
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    return name


def refuse_empty(context: Any, option: Any, value: Any) -> Any:
    """Refuses a text that names nothing, as `--method "$UNSET"` does; a callback.

    Raises:
        DDBenchError: the option was given, and is empty.
    """
    if isinstance(value, str) and not value.strip(" ,"):
        hint = "leave it out, or give it a value"
        raise DDBenchError(f"{option.opts[0]} is empty", "expected: a value", hint=hint)
    return value


def complete_formats(typed: str) -> list[str]:
    """Returns the installed formats of distilled sets that begin so, for the shell's completion."""
    from ddbench.registry import load

    return [name for name in load().names("format") if name.startswith(typed)]


def flag(*names: str, help: str, default: Any = None, means: str = "", panel: str = "") -> Any:
    """Declares a field of a group as an option; a text may be left out but not be empty.

    Args:
        names: The option's names.
        help: What `--help` says of it.
        default: The field's value where the option is left out.
        means: What `--help` calls a default of None.
        panel: The panel of `--help` that shows the option.
    """
    option = typer.Option(
        *names,
        help=help,
        show_default=means or default is not None,
        rich_help_panel=panel or None,
        callback=refuse_empty if default is None else None,
    )
    return field(default=default, metadata={"option": option})


CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of artifacts and records.",
        envvar="DDBENCH_CACHE",
        show_default="the platform's cache folder",
    ),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help="Folder of the data sets.",
        envvar="DDBENCH_DATA",
        show_default=False,
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
PrecisionOption = Annotated[
    str,
    typer.Option("--precision", help="auto, fp32 or bf16; auto is bf16 where it is native."),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format", "-f", help="Format of tables: terminal, md, csv or tex.", callback=check_format
    ),
]
PixelsOption = Annotated[
    str | None,
    typer.Option(
        "--pixels",
        help="What floating-point images are: normalised, whitened or unit (0 to 1).",
        callback=refuse_empty,
    ),
]
LayoutOption = Annotated[
    str,
    typer.Option(
        "--layout",
        help="Format of the set, if it is not recognised.",
        show_default=False,
        autocompletion=complete_formats,
    ),
]


@dataclass(frozen=True, kw_only=True)
class HowFlags:
    """Options for where a command runs and how it prints."""

    format: FormatOption = "terminal"
    device: DeviceOption = "auto"
    precision: PrecisionOption = "auto"
    data_root: DataRootOption = None
    cache: CacheOption = None

    def open_session(self, progress: Progress, **ways: bool) -> Session:
        """Opens plug-ins, device, cache and data root as the options say, and `ways` as they are.

        Raises:
            DDBenchError: no such device or precision, or two plug-ins of one name.
        """
        from ddbench.config import session

        return session.open_session(
            self.device, self.precision, self.data_root, self.cache, progress, **ways
        )


_KEYWORD = inspect.Parameter("_", inspect.Parameter.KEYWORD_ONLY)


def group_options(command: Callable[..., None]) -> Callable[..., None]:
    """Lets a command take options in groups: a parameter whose type is a dataclass is a group.

    On the command line each field of the dataclass is an option of its own; the command is called
    with the dataclass.
    """
    groups: dict[str, Any] = {}
    parameters = []
    for name, kind in get_type_hints(command, include_extras=True).items():
        if name == "return":
            continue
        if is_dataclass(kind):
            groups[name] = kind
            hints = get_type_hints(kind, include_extras=True)
            for one in fields(kind):
                option, hint = one.metadata.get("option"), hints[one.name]
                hint = Annotated[hint, option] if option else hint
                parameters.append(
                    _KEYWORD.replace(name=one.name, annotation=hint, default=one.default)
                )
        else:
            default = inspect.signature(command).parameters[name].default
            parameters.append(_KEYWORD.replace(name=name, annotation=kind, default=default))

    @functools.wraps(command)
    def call(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{option.name: values.pop(option.name) for option in fields(kind)})
        command(**values)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def split_list(text: str | None) -> list[str]:
    """Returns the values between commas; commas inside brackets belong to options."""
    pieces = re.split(r",(?![^\[]*\])", text or "")
    return [piece.strip() for piece in pieces if piece.strip()]


def split_numbers(text: str | None, flag: str) -> list[int]:
    """Returns the whole numbers between commas.

    Raises:
        DDBenchError: one is not a whole number.
    """
    numbers = []
    for piece in split_list(text):
        try:
            numbers.append(int(piece))
        except ValueError as fault:
            raise DDBenchError(
                f"{flag} '{piece}' is not a whole number", hint=f"for example {flag} 1,10"
            ) from fault
    return numbers
