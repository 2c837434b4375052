"""The base of all commands of `hermes-attach`, on top of click.

Help is in groups; the name of an option may be abbreviated; a mistake is one line; and a group
imports a command only when it runs, or its help or completion is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from .. import __version__
from ..config.gathering import KEY_IS_NO_OPTION, KEY_OPTIONS
from ..config.help_text import Formatter
from ..config.option import Kind, Option, in_words
from ..config.table import did_you_mean, nearest
from ..shared.problem import Problem

F = TypeVar("F", bound=Callable[..., Any])

VERSION: Final = f"hermes-twisted {__version__}"
#: The heading of a command's options that belong to no group.
OTHER: Final = "Options"
#: Options that are enumerated in a message, at most.
MAX_SHOWN: Final = 4
#: Columns of a help text, at most.
MAX_WIDTH: Final = 100
#: The key of `Context.meta` for the command line with the names of options in full.
WORDS: Final = "hermes_twisted.words"

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": MAX_WIDTH}


class WrongOption(click.UsageError):
    """A command, or an option, that does not exist; the text ends in where to look."""


class CannotBeDone(click.ClickException):
    """A `Problem` that a command met, with the command's context."""

    def __init__(self, problem: Problem, ctx: click.Context) -> None:
        super().__init__(str(problem))
        self.ctx = ctx


@contextlib.contextmanager
def wrong_usage() -> Iterator[None]:
    """Have a `Problem` count as wrong usage, for which the exit status is 2."""
    try:
        yield
    except Problem as problem:
        raise click.UsageError(str(problem)) from None


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # Not generic before click 8.2.


class KindType(_ParamType):
    """A value of a kind of `config.kinds`; the message about a wrong one names its option."""

    def __init__(self, kind: Kind[Any]) -> None:
        self.name = kind.metavar
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text. Raises `click.UsageError`."""
        if not isinstance(value, str):
            return value  # A default.
        try:
            return self._kind.parse(value)
        except ValueError as error:
            name = param.opts[-1] if param is not None else self.name
            raise click.UsageError(f"{name} {value!r}: {error}.", ctx) from None

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the completions of *incomplete*."""
        return complete(self._kind, incomplete)


class TextType(KindType):
    """A value that is left as text, for `Settings.gather` to parse."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return *value*."""
        return value


def complete(kind: Kind[Any], incomplete: str) -> list[CompletionItem]:
    """Return the choices of *kind* that begin so; or have the shell complete paths."""
    if kind.metavar == "PATH":
        return [CompletionItem(incomplete, type="file")]
    choices = kind.choices() if kind.choices is not None else {}
    return [
        CompletionItem(name, help=note or None)
        for name, note in choices.items()
        if name.startswith(incomplete)
    ]


class GroupedOption(click.Option):
    """An option of a command, in a group of its help."""

    def __init__(self, *arguments: Any, group: str = OTHER, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.group = group


def server_option(option: Option, *, grouped: bool = True, **more: Any) -> GroupedOption:
    """Return an option of the server as one of a command: its value is left for the server."""
    names = [f"--{option.name}", *([f"-{option.short}"] if option.short else [])]
    given: dict[str, Any] = {"help": option.help_text}
    if grouped:
        given["group"] = option.group
    if option.flag:
        given |= {"is_flag": True, "default": False}
    else:
        given |= {"type": TextType(option.kind), "metavar": option.kind.metavar}
        given |= {"multiple": option.repeated, "default": None}
    return GroupedOption(names, **given | more)


def of_server(option: Option, **more: Any) -> Callable[[F], F]:
    """Give a command an option of the server, as a decorator. *more* is what differs in it."""

    def decorate(function: F) -> F:
        made = server_option(option, grouped=False, **more)
        # Where click's own decorators keep them.
        kept: list[click.Parameter] = function.__dict__.setdefault("__click_params__", [])
        kept.append(made)
        return function

    return decorate


def given_of(ctx: click.Context) -> dict[str, Any]:
    """Return the values of a command's options by their names, as `Settings.gather` takes them."""
    return {name.replace("_", "-"): value for name, value in ctx.params.items()}


class Context(click.Context):
    """A context whose help is not broken within words."""

    formatter_class = Formatter


class Command(click.Command):
    """A command. Options may stand on either side of arguments, and be abbreviated."""

    context_class = Context

    def __init__(self, *arguments: Any, **more: Any) -> None:
        settings = {**_SETTINGS, "allow_extra_args": True}
        super().__init__(*arguments, **{"context_settings": settings, **more})
        self.params.append(_version_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line. Raises `click.UsageError`."""
        if not ctx.resilient_parsing:
            args = self._whole_names(ctx, args)
            ctx.meta[WORDS] = list(args)
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            # Not quoted: a key may be among them.
            raise WrongOption(f"There is an argument too many. {_see(ctx)}", ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises `CannotBeDone` for a `Problem`."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            raise CannotBeDone(problem, ctx) from None

    def _whole_names(self, ctx: click.Context, words: Sequence[str]) -> list[str]:
        """Return *words* with the names of options in full. Raises `click.UsageError`."""
        options = {
            name: param
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in param.opts
        }
        whole: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                return [*whole, word, *rest]
            name = word.partition("=")[0]
            if word.startswith("--"):
                name = _whole_name(ctx, name, options)
                word = name + word[len(word.partition("=")[0]) :]
                takes_next = "=" not in word and not _is_flag(options[name])
            elif word.startswith("-") and word != "-":
                takes_next = _ends_with_a_value_to_come(ctx, word, options)
            else:
                takes_next = False
            whole.append(word)
            if takes_next:
                whole += [value for value in [next(rest, None)] if value is not None]
        return whole

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, in their groups; those without one come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(param, "group", OTHER), []).append(record)
        others = groups.pop(OTHER, [])
        for title, records in [*groups.items(), (OTHER, others)]:
            with formatter.section(title):
                formatter.write_dl(records)


def _whole_name(ctx: click.Context, name: str, options: dict[str, click.Option]) -> str:
    """Return the one of *options* that *name* is, or begins."""
    if name in options:
        return name
    if name in KEY_OPTIONS:
        raise click.UsageError(KEY_IS_NO_OPTION, ctx)
    found = [option for option in options if option.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        shown = tuple(sorted(found)[:MAX_SHOWN])
        others = (f"{len(found) - len(shown)} others",) if len(found) > len(shown) else ()
        raise WrongOption(f"{name} may be {in_words(shown + others, 'or')}. {_see(ctx)}", ctx)
    meant = nearest(name, [option for option in options if option.startswith("--")])
    raise WrongOption(f"There is no option {name}{did_you_mean(meant)} {_see(ctx)}", ctx)


def _ends_with_a_value_to_come(
    ctx: click.Context, word: str, options: dict[str, click.Option]
) -> bool:
    """Return whether the short options in *word* end in one whose value is the next word."""
    for position, letter in enumerate(word[1:], 2):
        option = options.get(f"-{letter}")
        if option is None:
            raise WrongOption(f"There is no option -{letter}. {_see(ctx)}", ctx)
        if not _is_flag(option):
            return position == len(word)
    return False


def _is_flag(option: click.Option) -> bool:
    return option.is_flag or option.count


def _see(ctx: click.Context) -> str:
    return f"See `{ctx.command_path} --help`."


def _version_option() -> click.Option:
    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(VERSION)
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="Show the version and exit.",
    )


@dataclass(frozen=True)
class CommandEntry:
    """A command of a group, before it is imported."""

    name: str
    help: str
    """One line."""
    target: str
    """`module:function`, below this package."""
    arguments: str = ""
    section: str = "Commands"
    hidden: bool = False


class Commands(click.Group):
    """A group of commands that are imported when they are needed."""

    context_class = Context

    def __init__(self, name: str, entries: Iterable[CommandEntry], **more: Any) -> None:
        more |= {"invoke_without_command": True, "subcommand_metavar": "COMMAND [ARGS]..."}
        super().__init__(name, context_settings=_SETTINGS, **more)
        self._entries = {entry.name: entry for entry in entries}
        self.params.append(_version_option())
        self.callback = self._show_help

    @staticmethod
    def _show_help() -> None:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands that are shown."""
        return [entry.name for entry in self._entries.values() if not entry.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name; None if there is none."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        found = getattr(importlib.import_module(f".{module}", __package__), attribute)
        assert isinstance(found, click.Command)
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; `help COMMAND` is `COMMAND --help`."""
        if args and args[0] == "help":
            args = [*args[1:2], "--help"]
        if not ctx.resilient_parsing and args and args[0].startswith("-"):
            self._refuse_unknown(ctx, args[0].partition("=")[0])
        return super().parse_args(ctx, args)

    def _refuse_unknown(self, ctx: click.Context, name: str) -> None:
        names = [name for param in self.get_params(ctx) for name in param.opts]
        if name not in names:
            if name in KEY_OPTIONS:
                raise click.UsageError(KEY_IS_NO_OPTION, ctx)
            meant = nearest(name, names)
            raise WrongOption(f"There is no option {name}{did_you_mean(meant)} {_see(ctx)}", ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* begin with. Raises `WrongOption`."""
        name, *rest = args
        found = self.get_command(ctx, name)
        if found is None and not ctx.resilient_parsing:
            names = self.list_commands(ctx)
            meant = did_you_mean(nearest(name, names))
            raise WrongOption(f"There is no command {name!r}{meant} {_see(ctx)}", ctx)
        return name if found else None, found, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, in their sections, without importing them."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for entry in self._entries.values():
            if not entry.hidden:
                shown = f"{entry.name} {entry.arguments}".strip()
                sections.setdefault(entry.section, []).append((shown, entry.help))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, without importing them."""
        found = [
            CompletionItem(entry.name, help=entry.help)
            for entry in self._entries.values()
            if not entry.hidden and entry.name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


def run(command: click.Command, arguments: Sequence[str], name: str) -> None:
    """Run *command*. Exits with 2 for wrong usage, with 1 if it cannot be done."""
    try:
        status = command.main(list(arguments), prog_name=name, standalone_mode=False)
    except click.UsageError as wrong:
        _fail(wrong.ctx, name, wrong.format_message(), 2)
    except CannotBeDone as wrong:
        _fail(wrong.ctx, name, wrong.message, 1)
    if isinstance(status, int) and status:
        raise SystemExit(status)


def _fail(ctx: click.Context | None, name: str, message: str, status: int) -> NoReturn:
    """Write the one line about what went wrong, and exit."""
    command = name if ctx is None else ctx.command_path
    click.echo(f"{command}: {message}", err=True)
    raise SystemExit(status)
