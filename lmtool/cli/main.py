"""The `lmtool` command: global options, and sub-commands that are imported when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lmtool import __version__
from lmtool.cli import terminal
from lmtool.cli.exits import exit_codes
from lmtool.errors import ExitCode, PluginError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.api import CommandSpec

COMMANDS = {
    "tokenize": ("lmtool.cli.tokenize:app", "Turn text into a dataset of token ids, or filter stdin to stdout."),
    "train": ("lmtool.cli.train:app", "Train a model; run it again to go on or to confirm that it is done."),
    "repeat": ("lmtool.cli.repeat:app", "Train with several seeds, or on several folds, and report means."),
    "tune": ("lmtool.cli.tune:app", "Search for settings that validate best."),
    "eval": ("lmtool.cli.eval:app", "Evaluate one or more runs side by side on the same text."),
    "score": ("lmtool.cli.score:app", "Score text line by line: nats, tokens, perplexity."),
    "predict": ("lmtool.cli.predict:app", "Give documents their classes, or answers: a line in, a line out."),
    "generate": ("lmtool.cli.generate:app", "Continue a prompt with a trained model."),
    "export": ("lmtool.cli.export:app", "Write a trained model in a form that other programs read."),
    "config": ("lmtool.cli.config:app", "Write, check and show config files."),
    "plugins": ("lmtool.cli.plugins:app", "List plugins and what they offer."),
    "info": ("lmtool.cli.info:app", "Show versions and devices, or what a run or a dataset is."),
}
"""Name to (`module:app`, one line for `lmtool --help`), in the order of a first session."""


SETTABLE = {
    "lmtool eval": ("evaluation",),
    "lmtool tokenize": ("data",),
    "lmtool plugins check": (),
}
"""Sections of the core that `--set` of a command takes, where these are not all."""

UsageMistake: Any = typer.BadParameter.__base__
"""Typer's base class of what is wrong with a command line; it has no public name."""


class LazyGroup(TyperGroup):
    """Sub-commands by name: ours from `COMMANDS`, the plugins' from the registry; imports the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS:
            return typer.main.get_command(_imported(COMMANDS[cmd_name][0]))
        spec = terminal.registry().find_command(cmd_name)
        return _plugin_command(spec) if spec else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None:
            known = list(dict.fromkeys([*COMMANDS, *terminal.registry().commands()]))
            raise UsageError(f"no command '{args[0]}'{did_you_mean(args[0], known)}; commands: {', '.join(known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """As Click does it, but from the table: nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])
        formatter.write("\n  Plugins may add more: see `lmtool plugins list`.\n")

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """A wrong option is one line on stderr, like every other mistake."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except UsageMistake as mistake:
            if type(mistake).__name__ == "NoArgsIsHelpError":  # `lmtool plugins` and its like, without more
                mistake.show()
                raise SystemExit(mistake.exit_code) from None
            terminal.error(_plain(mistake.format_message()), _hint(mistake))
            raise SystemExit(mistake.exit_code) from None
        except typer.Abort:
            raise SystemExit(ExitCode.INTERRUPTED) from None
        raise SystemExit(code if isinstance(code, int) else ExitCode.OK)

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command; a user's problem becomes one line on stderr and its exit code."""
        with exit_codes():
            return super().invoke(ctx)


def _plain(message: str) -> str:
    text = " ".join(message.split())
    return text[:1].lower() + text[1:].removesuffix(".")


def _hint(mistake: Any) -> str:
    """Where the option that is missed may be meant: settings have no options of their own."""
    from lmtool.config import CORE_SECTIONS

    context = mistake.ctx
    if context is None or not any("--set" in one.opts for one in context.command.params):
        return f"`{context.command_path if context else 'lmtool'} --help` shows the options"
    option = (getattr(mistake, "option_name", None) or "").lstrip("-").replace("-", "_")
    for section in SETTABLE.get(context.command_path, tuple(CORE_SECTIONS)):
        if option in CORE_SECTIONS[section].model_fields:
            return f"`--set {section}.{option}=…` sets it"
    key = "key=value" if context.command_path == "lmtool plugins check" else "section.key=value"
    return f"`{context.command_path} --help` shows the options; settings are given by `--set {key}`"


def _imported(target: str) -> Any:
    import importlib

    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _plugin_command(spec: CommandSpec) -> Any:
    try:
        application = _imported(spec.target)
        if not isinstance(application, typer.Typer):
            raise TypeError(f"{spec.target} is no typer.Typer application")
        return typer.main.get_command(application)
    except (Exception, SystemExit) as error:  # a third party's module may raise anything
        raise PluginError(f"command '{spec.name}' cannot be loaded: {type(error).__name__}: {error}") from error


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,  # plain help: Rich alone costs more than all the rest of `lmtool --help`
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"lmtool {__version__}")
        raise typer.Exit


@app.callback()
def lmtool(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and warnings on stderr.")] = False,
    no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Use the built-in plugins only.")] = False,
) -> None:
    """Tokenize, train and evaluate language models, text classifiers and text-to-text models.

    A first session:

    \b
      lmtool tokenize --tokenizer word --train train.txt --valid valid.txt --test test.txt -o data
      lmtool train --model ngram --data data -o runs/ngram
      lmtool eval runs/ngram
    """
    terminal.settings.quiet = quiet
    terminal.settings.third_party = not no_plugins
    terminal.show_log()


def run(arguments: Sequence[str]) -> None:
    """Call the command line from Python; ends in SystemExit."""
    app(list(arguments), prog_name="lmtool")
