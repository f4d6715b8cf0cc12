"""`tubelet completion`: a script with which a shell completes verbs, flags and their choices."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from tubelet.cli import arguments
from tubelet.cli.output import Output
from tubelet.cli.verbs import VERBS

FLAG = re.compile(r"^[│| ] ((?:-\w, )?--\S+.*)", re.MULTILINE)
"""A line of help that begins with a flag; what it is for stands two spaces behind, or on the next line."""

WIDTH = "99"
"""Columns of the help: with more of them its groups stand side by side."""

BASH = """\
_tubelet() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local verb="${{COMP_WORDS[1]}}" two="${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}" words=""
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    words="{firsts}"
  elif (( COMP_CWORD == 2 )); then
    case "$verb" in
{seconds}
    esac
  fi
  if [[ -z $words ]]; then
    case "$two" in
{pairs}
      *) case "$verb" in
{singles}
      esac ;;
    esac
  fi
  if [[ -n $words ]]; then mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"); fi
}}
complete -o default -F _tubelet tubelet
"""

ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


@dataclass(frozen=True, kw_only=True)
class Options(arguments.CommonOptions):
    """Print a script with which a shell completes verbs, flags and choices.

    In ~/.bashrc: source <(tubelet completion bash). Where that is too slow, write it to a file once, and source that.

    Attributes:
        shell: bash (4 and newer) or zsh.
    """

    shell: Annotated[tyro.conf.Positional[Literal["bash", "zsh"]], tyro.conf.arg(metavar="SHELL")]


def run(options: Options, output: Output) -> int:
    """Print it."""
    script = completion_script(options.shell)
    if not output.as_json:
        output.console.print(script, markup=False, highlight=False, soft_wrap=True, end="")
    output.data({"script": script})
    return 0


def completion_script(shell: Literal["bash", "zsh"]) -> str:
    """The script for a shell."""
    groups: dict[str, list[str]] = {}
    for verb in VERBS:
        first, _, second = verb.partition(" ")
        groups.setdefault(first, []).extend([second] if second else [])
    cases = {verb: _case(verb) for verb in VERBS}
    script = BASH.format(
        firsts=" ".join([*groups, "--help", "--version"]),
        seconds="\n".join(f'      {first}) words="{" ".join(more)}" ;;' for first, more in groups.items() if more),
        pairs="\n".join(case for verb, case in cases.items() if " " in verb),
        singles="\n".join(case for verb, case in cases.items() if " " not in verb),
    )
    return (ZSH if shell == "zsh" else "") + script


def _case(verb: str) -> str:
    """What completes after a verb: the choices of a flag that has some, else flags once a word begins with a dash."""
    flags, choices = _flags(verb)
    known = " ".join(f'{flag}) words="{words}" ;;' for flag, words in choices.items())
    rest = f'*) if [[ $word == -* ]]; then words="{" ".join(flags)}"; fi ;;'
    return f'      "{verb}") case "$before" in {known} {rest} esac ;;'


def _flags(verb: str) -> tuple[list[str], dict[str, str]]:
    """The flags of a verb, and those that take one of a few words, out of its help."""
    module = importlib.import_module(f"tubelet.cli.{VERBS[verb].module}")
    box, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(box), contextlib.suppress(SystemExit):
            own = getattr(module, "parse", None)
            own(["--help"], "tubelet") if own is not None else arguments.parse(
                module.Options, ["--help"], prog="tubelet"
            )
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    flags: list[str] = []
    choices: dict[str, str] = {}
    for line in FLAG.findall(box.getvalue()):
        head = re.split(r"\s{2,}", line)[0]
        names, words = re.findall(r"--[\w-]+", head), re.search(r"\{([^}]*,[^}]*)\}", head)
        flags += names
        if words is not None:
            choices |= dict.fromkeys(names, words[1].replace(",", " "))
    return flags, choices
