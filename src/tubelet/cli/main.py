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

from tubelet.cli.hints import Misused
from tubelet.cli.machine_errors import of_the_machine, reader_went_away
from tubelet.cli.output import print_json
from tubelet.cli.verbs import VERBS, find_verb, help_text
from tubelet.distributed.process import PeerFailedError, process_info
from tubelet.errors import TubeletError
from tubelet.text import one_line, printable
from tubelet.version import __version__

OK, FAILURE, USAGE, SIGNALLED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 128, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after `tubelet`; None takes those of the process.

    Returns:
        the exit code, as the help lists them.
    """
    _print_any_character()
    words = list(sys.argv[1:] if argv is None else argv)
    words, show_traceback = _take_traceback_flag(words)
    code, problem = _run(words, show_traceback)
    if problem is not None and _asks_for_json(words) and _speaks():
        print_json({"error": problem, "exit_code": code})
    return code


def _run(words: list[str], show_traceback: bool) -> tuple[int, str | None]:
    """The exit code, and what went wrong, which was said on standard error."""
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code, None
    except Misused as misused:
        return USAGE, misused.said
    except SystemExit as end:  # tyro's, after --help
        code = end.code if isinstance(end.code, int) else OK if end.code is None else USAGE
        return code, "these words make no command; standard error says why" if code else None
    except KeyboardInterrupt as interrupt:  # a training says how to go on, and which signal it was
        said = str(interrupt) or "interrupted"
        if _speaks():
            print(f"\ntubelet: {printable(said)}", file=sys.stderr)
        return SIGNALLED + int(getattr(interrupt, "signal_number", INTERRUPTED - SIGNALLED)), said
    except PeerFailedError:
        return FAILURE, "another process ended"
    except TubeletError as error:
        return _told(one_line(str(error)), error.exit_code, show_traceback)
    except Exception as error:  # noqa: BLE001  # whatever it is, the exit code is documented
        if isinstance(error, BrokenPipeError) and reader_went_away():
            # What is still buffered must not be flushed into the closed pipe when python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE, None
        refused = of_the_machine(error)
        if refused is not None:
            return _told(one_line(refused), FAILURE, show_traceback)
        traceback.print_exc()
        said = f"unexpected {type(error).__name__}: {one_line(str(error))}"
        print(
            f"tubelet: {_whose()}{said}. This is a defect of tubelet, not of your input; please report it with the "
            "lines above",
            file=sys.stderr,
        )
        return FAILURE, said


def _told(said: str, code: int, show_traceback: bool) -> tuple[int, str]:
    """One line on standard error."""
    if show_traceback:
        traceback.print_exc()
    print(f"tubelet: error: {_whose()}{said}", file=sys.stderr)
    return code, said


def _asks_for_json(words: list[str]) -> bool:
    return "--json" in words[: words.index("--") if "--" in words else len(words)]


def _speaks() -> bool:
    """Whether this process is the one of several that says things."""
    try:
        return process_info().first
    except TubeletError:  # that is the error
        return True


def _dispatch(words: list[str]) -> int:
    if not words:
        print(help_text(), file=sys.stderr)
        return USAGE
    if words[0] in ("-h", "--help") or words == ["help"]:
        print(help_text())
        return OK
    if words[0] in ("-V", "--version"):
        print(f"tubelet {__version__}")
        return OK
    if words[0] == "help":
        words = [*words[1:], "--help"]
    name, rest = find_verb(words)
    from tubelet.cli.arguments import run_verb

    return run_verb(name, importlib.import_module(f"tubelet.cli.{VERBS[name].module}"), rest)


def _take_traceback_flag(words: list[str]) -> tuple[list[str], bool]:
    """The words without `--traceback`, and whether it or TUBELET_TRACEBACK asks for it."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--traceback"] + words[end:]
    return kept, len(kept) < len(words) or os.environ.get("TUBELET_TRACEBACK", "") not in ("", "0")


def _whose() -> str:
    """Which process speaks, if it is not the first."""
    try:
        here = process_info()
    except TubeletError:  # that is the error
        return ""
    return "" if here.first else f"{here}: "


def _print_any_character() -> None:
    """A name that the terminal's encoding does not have is escaped, and does not end the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
