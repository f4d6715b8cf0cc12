"""The verbs: where each lives, its line of help, and which one the words of a command mean."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NoReturn

from tubelet.cli import hints
from tubelet.cli.hints import Misused
from tubelet.text import did_you_mean, one_line


@dataclass(frozen=True)
class Verb:
    """Where a verb lives and what it does, in one line."""

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "demo": Verb("demo", "A first minute: make clips, train, evaluate, predict, explain, export, and a page."),
    "pretrain": Verb("pretrain", "Let a model learn from videos without labels, to start a training from."),
    "train": Verb("train", "Train a model on a folder or table of labelled videos."),
    "tune": Verb("tune", "Fit a recipe to the videos by short trials on the training videos."),
    "evaluate": Verb("evaluate", "Measure a model on labelled videos, over several views of each."),
    "compare": Verb("compare", "Compare runs on the same videos, with paired tests and a page."),
    "probe": Verb("probe", "Measure a model's features: nearest neighbours and a linear classifier on them."),
    "predict": Verb("predict", "Say what is in a video, or in many."),
    "watch": Verb("watch", "Watch a camera, an address or a file: classes now, and events as they end."),
    "explain": Verb("explain", "Show which places and moments of a video decided, and whether to believe it."),
    "serve": Verb("serve", "Answer over HTTP what is in a video, when, and why; with a page for browsers."),
    "study": Verb("study", "Answer one of the paper's questions: models, embeddings, regularisers, tokens, frames."),
    "report": Verb("report", "Write the page of a run again: curves, classes, confusions, mistakes."),
    "data check": Verb("data_check", "Look for what is wrong with a data set before training on it."),
    "data preview": Verb("data_preview", "Show clips as the model will see them."),
    "data prepare": Verb("data_prepare", "Put a data set into shards, encoded anew so that clips are read quickly."),
    "export": Verb("export", "Write a model for another runtime, proven on real clips."),
    "bench": Verb("bench", "Time a model in every form that there is here, and compare what they give."),
    "corpus run": Verb("corpus_run", "Predict every video of a lake of them: resumable, with a row for each."),
    "corpus check": Verb("corpus_check", "Prove that every video has its row, and show the result for review."),
    "corpus search": Verb("corpus_search", "Find the videos of a corpus that are most like one."),
    "corpus duplicates": Verb("corpus_duplicates", "Find videos of a corpus that show nearly the same."),
    "corpus label": Verb("corpus_label", "Compare the predictions of a corpus with labels that are known."),
    "corpus select": Verb("corpus_select", "Choose the next videos to label."),
    "corpus convert": Verb("corpus_convert", "Write the rows of a corpus for a vector database."),
    "convert": Verb("convert", "Rewrite a model in another format."),
    "models": Verb("models", "List the presets with their parameters, tokens and multiply-adds."),
    "completion": Verb("completion", "Print a script with which a shell completes verbs, flags and choices."),
    "doctor": Verb("doctor", "What this machine has, and whether a run computes here what it did when it was trained."),
}

USAGE_TEXT = "usage: tubelet VERB [OPTIONS]"

EPILOGUE = """\
every verb:
  --help           what it takes
  --json           JSON on standard output, in lines, and nothing else; an error is {"error": ..., "exit_code": ...}
  --quiet, -q      results, warnings and errors alone: no progress, no notes
  --traceback      on an error, show where in the program it arose (or TUBELET_TRACEBACK=1)

exit codes, the same for every verb:
  0    done
  1    something did not work, or at least one video could not be read; the results that there are, are written
  2    the command, a setting or a file is not right; the message says what to do
  130  interrupted by Ctrl-C; 143 ended by SIGTERM, 129 by SIGHUP (the terminal was closed)
  141  the reader of standard output went away"""


def find_verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb, of one word or two, and the words after it."""
    first = words[0]
    if first in VERBS:
        return first, words[1:]
    seconds = [verb.split()[1] for verb in VERBS if verb.startswith(f"{first} ")]
    if not seconds:
        if first.startswith("-"):
            usage_error(f"unknown option {first!r} before a verb; there are --help and --version, then the verbs")
        known = list(dict.fromkeys(verb.split()[0] for verb in VERBS))
        meant = hints.VERBS.get(first.lower())
        usage_error(
            f"unknown verb {first!r}{did_you_mean(first, known) if meant is None else f'; the verb is {meant!r}'}"
        )
    if len(words) == 1:
        usage_error(f"`tubelet {first}` needs one more word: {', '.join(seconds)}")
    if words[1] in ("-h", "--help"):
        print("\n".join([f"usage: tubelet {first} {{{','.join(seconds)}}} [OPTIONS]", "", *_verb_lines(f"{first} ")]))
        raise SystemExit(0)
    if words[1] not in seconds:
        usage_error(f"unknown verb '{first} {words[1]}'{did_you_mean(words[1], seconds)}")
    return f"{first} {words[1]}", words[2:]


def usage_error(message: str) -> NoReturn:
    """Print what is wrong with the words, and leave with the exit code for that."""
    print(f"tubelet: error: {one_line(message)}\n{USAGE_TEXT}; `tubelet --help` lists the verbs", file=sys.stderr)
    raise Misused(message)


def help_text() -> str:
    """What `tubelet --help` prints."""
    head = f"{USAGE_TEXT}\n\nViViT, the Video Vision Transformer: from a folder of videos to a prediction.\n\nverbs:"
    return "\n".join([head, *_verb_lines(), "", EPILOGUE])


def _verb_lines(prefix: str = "") -> list[str]:
    return [f"  {name:<16} {verb.help}" for name, verb in VERBS.items() if name.startswith(prefix)]
