"""One grammar for every command line: help with defaults and groups, --version, --quiet, completion, exit codes.

parser = Parser(prog="python -m training", description="...", top=True)
commands = parser.add_subparsers()
commands.add_parser("sample", help="make shapes from the prior")
commands.add_parser("evaluate", help="measure a run", for_workflow=True)   # listed apart in --help
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from pipeline.errors import QUIET, as_called
from pipeline.foreign import visible
from pipeline.version import VERSION

EXIT_CODES = """\
exit codes: 0 done; 1 something for you to mend, said in words, or a check that found a problem;
            2 a wrong command line; 130 interrupted by Ctrl-C; 143 ended by a signal"""
_FOR_PEOPLE, _FOR_WORKFLOW = "for you", "called by the workflow"
_SAYS_ITSELF = "default"  # a help text with this word says what happens without the option


class Parser(argparse.ArgumentParser):
    """An ArgumentParser as every command has it.

    top : whether this is what follows ``python -m``; it gets --version and the list of exit codes.
    """

    def __init__(self, *, prog: str | None = None, top: bool = False, quiet: bool = True, **options: Any):
        options.setdefault("formatter_class", Help)
        options.setdefault("allow_abbrev", False)
        super().__init__(prog=as_called(prog) if prog else None, **options)
        self.register("action", "parsers", Commands)
        if top:
            self.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
            self.epilog = "\n\n".join(filter(None, [self.epilog, EXIT_CODES]))
        if quiet and options.get("add_help", True):
            self.add_argument("--quiet", action=Quiet, help="no bars and no lines about progress; results still show")

    def add_subparsers(self, **options: Any) -> Any:
        """As ever, under a title of their own."""
        return super().add_subparsers(**{"title": "commands", "required": True, "metavar": "COMMAND", **options})

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As ever; where a shell asks for completions it gets them and this process ends."""
        complete(self)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """As ever; the words that were given may come from file names of somebody else."""
        super().error(visible(message))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, Commands) and value not in action.choices:
            raise argparse.ArgumentError(None, no_command(value, list(action.choices)))
        super()._check_value(action, value)


class Commands(argparse._SubParsersAction):  # type: ignore[type-arg]  # it cannot be subscripted when it runs
    """Sub-commands, those for people listed before those for the workflow."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.for_workflow: set[str] = set()

    def add_parser(self, name: str, *, for_workflow: bool = False, **options: Any) -> Any:
        """A sub-command; its help is its description too."""
        if for_workflow:
            self.for_workflow.add(name)
        options.setdefault("description", options.get("help"))
        return super().add_parser(name, **options)

    def groups(self) -> list[tuple[str, list[argparse.Action]]]:
        """(title, entries of the help) of the groups that have any."""
        mine = [entry for entry in self._choices_actions if entry.dest not in self.for_workflow]
        called = [entry for entry in self._choices_actions if entry.dest in self.for_workflow]
        return [(title, entries) for title, entries in ((_FOR_PEOPLE, mine), (_FOR_WORKFLOW, called)) if entries]


class Quiet(argparse.Action):
    """--quiet: told to this process and to every one below it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, *_: Any) -> None:
        os.environ[QUIET] = "1"


class Help(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, defaults behind the help of an option, sub-commands in groups."""

    def __init__(self, prog: str, **options: Any):
        super().__init__(prog, max_help_position=28, **options)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        told = action.default not in (None, False, argparse.SUPPRESS) and action.default not in ([], ())
        if not told or _SAYS_ITSELF in text or action.required or action.nargs == 0:
            return action.help
        return f"{text} (default: %(default)s)".strip()

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, Commands):
            return super()._format_action(action)
        parts, groups = [], action.groups()
        for title, entries in groups:
            parts.append(f"{' ' * self._current_indent}{title}:\n" if len(groups) > 1 else "")
            self._indent()
            parts += [self._format_action(entry) for entry in entries]
            self._dedent()
        return "".join(parts)


def no_command(word: str, known: Sequence[str]) -> str:
    """What to say of a word that is no sub-command."""
    from pipeline.settings.parse import did_you_mean  # takes a moment to load

    return f"there is no command {word!r}{did_you_mean(word, list(known))}"


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions (docs/commands.md), and end; nothing where none asks."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
