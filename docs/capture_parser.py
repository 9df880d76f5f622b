"""Print the parser of `python -m MODULE` as JSON: run it until it would read its arguments."""

from __future__ import annotations

import argparse
import json
import runpy
import sys


class _ParserFound(BaseException):
    """No command catches it, so that none does any work."""


def as_json(parser: argparse.ArgumentParser) -> dict:
    """Return description, usage, arguments and commands of a parser."""
    arguments, commands = [], {}
    helps = {}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            commands = {name: as_json(nested) for name, nested in action.choices.items()}
            continue
        shown = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        if action.choices:
            shown += " {" + ",".join(map(str, action.choices)) + "}"
        arguments.append({"name": shown, "help": help_text(parser, action)})
    for name, text in helps.items():
        commands[name]["description"] = commands[name]["description"] or text or ""
    return {
        "description": parser.description or "",
        "usage": " ".join(parser.format_usage().split()),
        "arguments": arguments,
        "commands": commands,
    }


def help_text(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help of an argument with its default where the help does not state it."""
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    default = action.default
    unstated = default not in (None, False, argparse.SUPPRESS, []) and "default" not in text
    if unstated and isinstance(default, str | int | float):
        text += f" (default: {default})"
    return text.strip()


def main() -> None:
    module = sys.argv[1]

    def stop(parser, *_, **__):
        raise _ParserFound(json.dumps(as_json(parser)))

    argparse.ArgumentParser.parse_args = stop
    sys.path.insert(0, ".")
    name = module if module.startswith("benchmarks.") else f"{module}.__main__"
    try:
        runpy.run_module(name, run_name="__main__")
    except _ParserFound as parser:
        print(parser)


if __name__ == "__main__":
    main()
