"""Figures as data: `benchmarks/results/*.csv`, a row for each thing that was timed, and tables of pages made from them.

    python -m benchmarks --csv benchmarks/results/inference.csv       appends the rows of a run
    python -m benchmarks.figures                                      writes the tables of docs/performance.md again

A table stands in a page between `<!-- figures: FILE, COMMIT -->` and `<!-- end -->`.
"""

from __future__ import annotations

import csv
import datetime
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from benchmarks.measure import Entry

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("docs/performance.md",)
COLUMNS = (
    *("date", "commit", "processor", "versions", "command"),
    *("what", "model", "seconds", "of_matrix_rate", "peak_gigabytes"),
)
TABLE = re.compile(r"(<!-- figures: (\w+), (\w+) -->\n\n).*?(\n<!-- end -->)", re.DOTALL)

Row = dict[str, str]


def main() -> None:
    """Write the tables of all pages."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


def with_tables(text: str) -> str:
    """The page with every table as the data say."""
    return TABLE.sub(lambda found: found[1] + table(found[2], found[3]) + found[4], text)


def read(name: str) -> list[Row]:
    """All rows of a file."""
    with (RESULTS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(name: str, commit: str) -> str:
    """The figures of one run, in Markdown."""
    rows = [row for row in read(name) if row["commit"] == commit]
    return _training(rows) if name == "training_step" else _inference(rows)


def append(file: Path, module: str, entries: Iterable[Entry], memory: dict[str, float]) -> None:
    """Add a row for each entry; names that end in `model N` say which model it is."""
    rows = [_row(module, entry, memory.get(entry.name)) for entry in entries]
    new = not file.is_file()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def _row(module: str, entry: Entry, gigabytes: float | None) -> Row:
    what, _, model = entry.name.partition(" model ")
    known = {"tubelet": "plain", "tubelet.optimise": "optimise", "tubelet.optimise(bfloat16)": "optimise in bfloat16"}
    known["tubelet.optimise(openvino)"] = "OpenVINO"
    words = [word for word in sys.argv[1:] if not word.endswith(".csv") and word != "--csv"]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": f"{datetime.date.today():%Y-%m-%d}",
        "commit": commit.stdout.strip(),
        "processor": f"{_processor()}, {torch.get_num_threads()} threads",
        "versions": f"torch {torch.__version__}, Python {platform.python_version()}",
        "command": " ".join(["python -m", module, *words]),
        "what": known.get(what, what) if model else what,
        "model": model or "1",
        "seconds": f"{statistics.median(entry.seconds):.2f}",
        "of_matrix_rate": f"{statistics.median(entry.rates):.2f}" if entry.rates else "",
        "peak_gigabytes": "" if gigabytes is None else f"{gigabytes:.2f}",
    }


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _inference(rows: Sequence[Row]) -> str:
    """A line for each model, a column for each form; the last two are the other library and how the two compare."""
    peers = ("transformers", "vit-pytorch")
    forms = [form for form in dict.fromkeys(row["what"] for row in rows) if form not in peers]
    rated = any(row["of_matrix_rate"] for row in rows)
    head = [*forms, *(["of matrix rate"] if rated else []), "other library", "`optimise` is faster by"]
    lines = [head]
    for model in dict.fromkeys(row["model"] for row in rows):
        found = {row["what"]: row for row in rows if row["model"] == model}
        cells = [found[form]["seconds"] if form in found else "" for form in forms]
        peer = next((found[name] for name in peers if name in found), None)
        other = "" if peer is None else f"{peer['seconds']}, {peer['what']}"
        ours = found["optimise"]
        faster = "" if peer is None else f"{float(peer['seconds']) / float(ours['seconds']):.2f}"
        lines.append([*cells, *([ours["of_matrix_rate"]] if rated else []), other, faster])
    names = ["", *(f"model {model}" for model in dict.fromkeys(row["model"] for row in rows))]
    return _markdown([[name, *line] for name, line in zip(names, lines, strict=True)])


def _training(rows: Sequence[Row]) -> str:
    peer = next(row for row in rows if row["what"] == "transformers")
    lines = [["", "seconds", "of matrix rate", "peak memory, GB", "of transformers'"]]
    for row in rows:
        share = float(row["peak_gigabytes"]) / float(peer["peak_gigabytes"])
        lines.append([row["what"], row["seconds"], row["of_matrix_rate"], row["peak_gigabytes"], f"{share:.2f}"])
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([rows[0], f"|{'---|' * len(lines[0])}", *rows[1:]]) + "\n"


if __name__ == "__main__":
    main()
