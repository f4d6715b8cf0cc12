"""Search is exact: what a product in float64 finds, in that order; duplicates are all pairs above the threshold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy
import pytest
from numpy.typing import NDArray

from tubelet.cli.main import main
from tubelet.corpus import duplicates, search
from tubelet.corpus.parts import name_of
from tubelet.corpus.searching import nearest
from tubelet.errors import ConfigError, DataError


def vectors(count: int, width: int) -> NDArray[numpy.float16]:
    drawn = numpy.random.default_rng(0).standard_normal((count, width))
    return (drawn / numpy.linalg.norm(drawn, axis=1, keepdims=True)).astype(numpy.float16)


@pytest.mark.parametrize("count", [1, 511, 512, 5000])
def test_nearest_is_brute_force(count: int) -> None:
    stored = vectors(count, 24)
    query = vectors(7, 24)[3].astype(numpy.float32)
    products = stored.astype(numpy.float64) @ query
    places, cosines = nearest(stored, query, 20)
    assert places.tolist() == numpy.argsort(-products, kind="stable")[:20].tolist()
    assert numpy.allclose(cosines, products[places], atol=1e-6)


def test_of_equal_ones_the_first_come_first() -> None:
    stored = numpy.repeat(vectors(2, 8), 50, axis=0)
    places, _ = nearest(stored, stored[60].astype(numpy.float32), 10)
    assert places.tolist() == list(range(50, 60))


def test_a_file_finds_its_copies(finished: Path, lake: Path) -> None:
    found = search(finished, lake / "0.mp4", top=9)
    assert len(found) == 9
    similarities = [match.similarity for match in found]
    assert similarities == sorted(similarities, reverse=True)
    alike = {match.video.path for match in found if match.similarity > 0.999}
    assert {str(lake / "0.mp4"), str(lake / "a\nb.mp4")} <= alike
    assert str(lake / "5.mp4") not in alike


def test_an_id_does_not_find_itself(finished: Path) -> None:
    assert 0 not in [match.video.id for match in search(finished, 0)]
    failed = next(number for number in range(11) if number not in {m.video.id for m in search(finished, 0)} | {0})
    with pytest.raises(DataError, match=f"id {failed} has no embedding"):
        search(finished, failed)


def test_parts_that_came_later_are_found_too(corpus: Path, tmp_path: Path) -> None:
    part = shutil.move(corpus / name_of(2), tmp_path / "kept")
    before = {match.video.id for match in search(corpus, 0)}
    shutil.move(part, corpus / name_of(2))
    assert before < {match.video.id for match in search(corpus, 0)}


def test_duplicates_are_groups_of_all_that_are_alike(finished: Path) -> None:
    groups = duplicates(finished, threshold=0.999)
    labels = [{label for match in group for label in match.labels.values()} for group in groups]
    assert sorted(map(sorted, labels)) == [["day"], ["night"]]
    assert all(group[0].similarity == pytest.approx(1.0, abs=1e-3) for group in groups)
    assert [len(group) for group in groups] == [5, 4]


def test_the_command_prints_and_writes_a_page(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "like.html"
    assert main(["corpus", "search", str(finished), "--id", "0", "--top", "3", "--json", "--page", str(page)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["label"] for line in lines] == [lines[0]["label"]] * 3
    assert page.read_text().count("<article>") == 3
    assert main(["corpus", "search", str(finished), "--id", "0", "--page", str(page)]) == 2
    assert main(["corpus", "duplicates", str(finished), "--threshold", "0.999", "--quiet"]) == 0
    assert "videos" in capsys.readouterr().out


def test_a_corpus_without_embeddings_says_how_to_get_them(corpus: Path) -> None:
    with pytest.raises(ConfigError, match=r"threshold=1\.5"):
        duplicates(corpus, threshold=1.5)
    plain = json.loads((corpus / "plan.json").read_text())
    plain["options"]["embed"] = False
    (corpus / "plan.json").write_text(json.dumps(plain))
    with pytest.raises(DataError, match="was changed"):
        search(corpus, 0)
