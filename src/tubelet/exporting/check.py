"""`tubelet export --check`: whether a folder is still the model that was exported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.errors import ConfigError, WeightsError
from tubelet.exported.contract import CONTRACT_FILE, Contract, is_exported, sha256
from tubelet.exported.model import open_parts, open_session
from tubelet.exporting.clips import SAMPLE_FILE, read_samples
from tubelet.exporting.gate import Parity, compare

INSIDE = {
    "labels": "labels",
    "preprocessing": "the preprocessing",
    "model": "the architecture",
    "inputs": "inputs",
    "outputs": "outputs",
    "weights": "the checksum of the weights",
    "format": "the format",
    "precision": "the precision",
}
"""What is compared with the copy inside the model file, and its name in words."""


@dataclass(frozen=True)
class ExportCheck:
    """What was found.

    Attributes:
        folder: as given.
        problems: in words; none if all is as it was exported.
        parity: of the sample clips; None if the model cannot be run.
    """

    folder: str
    problems: tuple[str, ...]
    parity: Parity | None

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        parity = None if self.parity is None else self.parity.to_dict()
        return {"folder": self.folder, "ok": self.ok, "problems": list(self.problems), "parity": parity}


def check_export(folder: str | Path) -> ExportCheck:
    """Repeat the gate: hashes of the files, labels and preprocessing inside the model file, logits of `sample.npz`.

    Raises:
        WeightsError: it is no exported model, or `tubelet.json` cannot be read.
    """
    place = Path(folder)
    if not is_exported(place):
        raise WeightsError(f"{folder} is no exported model: there is no {CONTRACT_FILE}")
    contract = Contract.read(place)
    problems = _files(place, contract)
    parity: Parity | None = None
    try:
        session = open_session(place, contract)
        problems += _inside(contract, getattr(session, "metadata", {}))
        samples = read_samples(place)
        parity = compare(session, contract, samples)
        parity.require()
        if contract.parts:
            compare(open_parts(place, contract), contract, samples).require()
    except (WeightsError, ConfigError) as error:
        problems.append(str(error))
    except Exception as error:  # noqa: BLE001  # whatever a runtime raises for a damaged file
        problems.append(f"the model cannot be run ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
    return ExportCheck(str(folder), tuple(problems), parity)


def _files(folder: Path, contract: Contract) -> list[str]:
    problems = []
    listed = contract.files or {}
    for name, digest in listed.items():
        file = folder / name
        if not file.is_file():
            problems.append(f"{name} is missing")
        elif sha256(file) != digest:
            problems.append(f"{name} is not the file that was exported (its SHA-256 differs)")
    if SAMPLE_FILE not in listed:
        problems.append(f"{CONTRACT_FILE} lists no {SAMPLE_FILE}")
    return problems


def _inside(contract: Contract, metadata: dict[str, str]) -> list[str]:
    """Differences of `tubelet.json` from the copy inside the model file."""
    inside, here = json.loads(metadata.get("tubelet", "null")), json.loads(contract.inside())
    if inside is None:
        return []
    return [
        f"{words} in {CONTRACT_FILE} are not those inside the model file"
        for name, words in INSIDE.items()
        if inside.get(name, "float32" if name == "precision" else None) != here[name]
    ]
