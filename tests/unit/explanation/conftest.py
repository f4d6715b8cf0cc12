"""A run of a tiny model on videos of bars, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import train_config, write_bars

import tubelet
from tubelet.training import SilentReporter


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bars(tmp_path_factory.mktemp("bars") / "clips", clips=6)


@pytest.fixture(scope="session")
def trained(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "bars"
    config = train_config(data={"workers": 0, "fractions": {"train": 0.5, "val": 0.2, "test": 0.3}})
    return tubelet.train(bars, out, config=config, reporter=SilentReporter()).folder
