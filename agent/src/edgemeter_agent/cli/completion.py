"""`edgemeter-agent completion`: completes commands and options in bash and zsh."""

from __future__ import annotations

import argparse

from edgemeter_agent import cli

_SCRIPT = """\
{preamble}_edgemeter_agent() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  case "$COMP_CWORD:${{COMP_WORDS[1]}}:$word" in
    1:*) COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word")) ;;
{cases}
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}}
complete -F _edgemeter_agent edgemeter-agent
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "completion",
        help="print the shell's completion script",
        epilog='example: eval "$(edgemeter-agent completion bash)"',
    )
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(args: argparse.Namespace) -> int:
    preamble = "autoload -U +X bashcompinit && bashcompinit\n" if args.shell == "zsh" else ""
    print(script(preamble), end="")
    return 0


def script(preamble: str = "") -> str:
    """The script, from the commands' own parsers."""
    lines = []
    for name in cli.COMMANDS:
        parser = _command(name)
        actions = _actions(parser)
        if actions:
            lines.append(
                f'    2:{name}:*) COMPREPLY=($(compgen -W "{" ".join(actions)} --help" -- "$word")) ;;'
            )
        options = dict.fromkeys(
            option
            for each in (parser, *actions.values())
            for option in each._option_string_actions
            if option.startswith("--")
        )
        lines.append(f'    *:{name}:-*) COMPREPLY=($(compgen -W "{" ".join(options)}" -- "$word")) ;;')
    return _SCRIPT.format(preamble=preamble, commands=" ".join(cli.COMMANDS), cases="\n".join(lines))


def _command(name: str) -> argparse.ArgumentParser:
    return _actions(cli.parser_for([name]))[name]


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands below a parser, if it has any."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
