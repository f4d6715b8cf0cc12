"""Checks of paths before anything is read or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.errors import ConfigError, DataError, WeightsError
from tubelet.paths import beside, require_data, require_folder, require_free, require_model


def test_nothing_that_exists_is_replaced_unasked_and_inputs_never(tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("{}")
    require_free(tmp_path / "new.json")
    require_free(there, overwrite=True)
    with pytest.raises(ConfigError, match="--overwrite"):
        require_free(there)
    with pytest.raises(ConfigError, match="would be replaced"):
        require_free(there, overwrite=True, inputs=[tmp_path / "." / "there.json"])
    with pytest.raises(ConfigError, match="is a folder"):
        require_free(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        require_free(tmp_path / "missing" / "x.json")


def test_a_model_is_a_path_or_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "bars").mkdir(parents=True)
    assert require_model("runs/bars")
    assert not require_model("someone/vivit")
    with pytest.raises(WeightsError, match=r"did you mean runs/bars\?"):
        require_model("runs/bar")
    with pytest.raises(WeightsError, match="no such file or folder"):
        require_model("someone/vivit.safetensors")
    with pytest.raises(WeightsError, match="download it first"):
        require_model("https://example.org/vivit")


def test_missing_data_and_folders_are_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    require_data(tmp_path / "clips")
    with pytest.raises(DataError, match=r"does not exist; did you mean .*clips\?"):
        require_data(tmp_path / "clip")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is no folder; name the folder of a run"):
        require_folder(tmp_path / "file", "a run")


def test_a_link_to_nothing_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("gone.mp4")
    (tmp_path / "b.mp4").symlink_to("b.mp4")
    assert beside(tmp_path / "a.mp4") == "; it is a link to gone.mp4, which is not there"
    assert beside(tmp_path / "b.mp4") == "; it is a link to b.mp4, which is not there"
