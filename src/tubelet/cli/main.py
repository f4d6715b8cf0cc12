"""The dispatcher: knows each verb's module and one line of help, and imports a module only when its verb is called.

So `tubelet --help` costs milliseconds. A verb's module holds

    class Options(CommonOptions)                    a frozen dataclass: its fields are the flags, its docstring the help
    def run(options: Options, output: Output) -> int    calls the library, prints, returns the exit code

and imports what is heavy inside `run`, so that its own help is quick too.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from tubelet.config.serialise import did_you_mean
from tubelet.distributed.place import EndedElsewhere, place
from tubelet.errors import TubeletError
from tubelet.version import __version__

OK, FAILURE, USAGE, SIGNALLED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 128, 130, 141


@dataclass(frozen=True)
class Verb:
    """Where a verb lives and what it does, in one line."""

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "demo": Verb("demo", "A first minute: make clips, train, evaluate, predict, and a page to look at."),
    "pretrain": Verb("pretrain", "Let a model learn from videos without labels, to start a training from."),
    "train": Verb("train", "Train a model on a folder or table of labelled videos."),
    "evaluate": Verb("evaluate", "Measure a model on labelled videos, over several views of each."),
    "compare": Verb("compare", "Compare runs on the same videos, with paired tests and a page."),
    "probe": Verb("probe", "Measure a model's features: nearest neighbours and a linear classifier on them."),
    "predict": Verb("predict", "Say what is in a video, or in many."),
    "study": Verb("study", "Answer one of the paper's questions: models, embeddings, regularisers, tokens, frames."),
    "report": Verb("report", "Write the page of a run again: curves, classes, confusions, mistakes."),
    "data check": Verb("data_check", "Look for what is wrong with a data set before training on it."),
    "data preview": Verb("data_preview", "Show clips as the model will see them."),
    "data prepare": Verb("data_prepare", "Put a data set into shards, encoded anew so that clips are read quickly."),
    "convert": Verb("convert", "Rewrite a model in another format."),
    "models": Verb("models", "List the presets with their parameters, tokens and multiply-adds."),
    "doctor": Verb("doctor", "Say what this machine has: versions, decoders, devices, speed."),
}

USAGE_TEXT = "usage: tubelet VERB [OPTIONS]"

EPILOGUE = """\
every verb:
  --help           what it takes
  --json           one line of JSON on standard output; everything else goes to standard error
  --traceback      on an error, show where in the program it arose (or TUBELET_TRACEBACK=1)

exit codes:
  0  done
  1  failure: something did not work as it should, some video could not be read for example
  2  the command, a file or a setting is not right; the message says what to do
  130  interrupted (Ctrl-C); 143 ended by SIGTERM"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after `tubelet`; None takes those of the process.

    Returns:
        the exit code: 0 done, 1 failure, 2 bad input or usage, 130 interrupted, 141 the reader of a pipe went away.
    """
    _print_any_character()
    words = list(sys.argv[1:] if argv is None else argv)
    words, show_traceback = _take_traceback_flag(words)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # tyro's, after --help or a usage error
        return end.code if isinstance(end.code, int) else OK if end.code is None else USAGE
    except KeyboardInterrupt as interrupt:  # a training says how to go on, and which signal it was
        if place().first:
            print(f"\ntubelet: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return SIGNALLED + int(getattr(interrupt, "signal_number", INTERRUPTED - SIGNALLED))
    except BrokenPipeError:
        # What is still buffered must not be flushed into the closed pipe when python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except EndedElsewhere:
        return FAILURE
    except TubeletError as error:
        if show_traceback:
            traceback.print_exc()
        print(f"tubelet: error: {_whose()}{_one_line(error)}", file=sys.stderr)
        return error.exit_code
    except Exception as error:  # noqa: BLE001  # whatever it is, the exit code is documented
        traceback.print_exc()
        print(
            f"tubelet: {_whose()}unexpected {type(error).__name__}: {_one_line(error)}. This is a defect of tubelet, "
            "not of your input; please report it with the lines above",
            file=sys.stderr,
        )
        return FAILURE


def _dispatch(words: list[str]) -> int:
    if not words:
        print(_help(), file=sys.stderr)
        return USAGE
    if words[0] in ("-h", "--help") or words == ["help"]:
        print(_help())
        return OK
    if words[0] in ("-V", "--version"):
        print(f"tubelet {__version__}")
        return OK
    if words[0] == "help":
        words = [*words[1:], "--help"]
    name, rest = _find_verb(words)
    from tubelet.cli.arguments import run_verb

    return run_verb(name, importlib.import_module(f"tubelet.cli.{VERBS[name].module}"), rest)


def _find_verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb, of one word or two, and the words after it."""
    first = words[0]
    if first in VERBS:
        return first, words[1:]
    seconds = [verb.split()[1] for verb in VERBS if verb.startswith(f"{first} ")]
    if not seconds:
        known = list(dict.fromkeys(verb.split()[0] for verb in VERBS))
        kind = "option" if first.startswith("-") else "verb"
        _usage_error(f"unknown {kind} {first!r}{did_you_mean(first, known)}")
    if len(words) == 1:
        _usage_error(f"`tubelet {first}` needs one more word: {', '.join(seconds)}")
    if words[1] in ("-h", "--help"):
        print("\n".join([f"usage: tubelet {first} {{{','.join(seconds)}}} [OPTIONS]", "", *_verb_lines(f"{first} ")]))
        raise SystemExit(OK)
    if words[1] not in seconds:
        _usage_error(f"unknown verb '{first} {words[1]}'{did_you_mean(words[1], seconds)}")
    return f"{first} {words[1]}", words[2:]


def _usage_error(message: str) -> NoReturn:
    print(f"tubelet: error: {message}\n{USAGE_TEXT}; `tubelet --help` lists the verbs", file=sys.stderr)
    raise SystemExit(USAGE)


def _help() -> str:
    head = f"{USAGE_TEXT}\n\nViViT, the Video Vision Transformer: from a folder of videos to a prediction.\n\nverbs:"
    return "\n".join([head, *_verb_lines(), "", EPILOGUE])


def _verb_lines(prefix: str = "") -> list[str]:
    return [f"  {name:<16} {verb.help}" for name, verb in VERBS.items() if name.startswith(prefix)]


def _take_traceback_flag(words: list[str]) -> tuple[list[str], bool]:
    """The words without `--traceback`, and whether it or TUBELET_TRACEBACK asks for it."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--traceback"] + words[end:]
    return kept, len(kept) < len(words) or os.environ.get("TUBELET_TRACEBACK", "") not in ("", "0")


def _whose() -> str:
    """Which process speaks, if it is not the first."""
    try:
        here = place()
    except TubeletError:  # that is the error
        return ""
    return "" if here.first else f"{here}: "


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _print_any_character() -> None:
    """A name that the terminal's encoding does not have is escaped, and does not end the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
