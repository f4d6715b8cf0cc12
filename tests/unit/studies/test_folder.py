"""What a study's folder holds its runs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tubelet.config import TrainConfig, override
from tubelet.errors import ConfigError
from tubelet.studies.folder import Outcome, Run, StudyFolder, require_unchanged, write_state
from tubelet.studies.study import Cell


def begun(folder: Path, **fields: Any) -> Run:
    config = override(TrainConfig(preset="vivit_tiny_16x2"), **fields)
    return StudyFolder(folder).run(Cell(name="a", label="a", config=config), 0)


@pytest.mark.parametrize("fields", [{"log": ("tensorboard",)}, {"feature_folder": "elsewhere"}, {"workers": 3}])
def test_setting_that_a_resumed_training_may_change_may_change_in_a_study(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    write_state(begun(tmp_path), Outcome("waiting"))
    require_unchanged([begun(tmp_path, **fields)])


@pytest.mark.parametrize("fields", [{"epochs": 3}, {"minutes": 5.0}, {"patience": 2}])
def test_setting_that_changes_what_is_learned_is_refused(fields: dict[str, Any], tmp_path: Path) -> None:
    write_state(begun(tmp_path), Outcome("waiting"))
    with pytest.raises(ConfigError, match=f"{next(iter(fields))} was"):
        require_unchanged([begun(tmp_path, **fields)])
