"""`4x3` and what is wrong with other words."""

from __future__ import annotations

import pytest

from tubelet.errors import ConfigError
from tubelet.evaluate import format_views, parse_views


@pytest.mark.parametrize(("text", "views"), [("4x3", (4, 3)), ("1x1", (1, 1)), ("10X1", (10, 1)), (" 2 × 3 ", (2, 3))])
def test_views_are_clips_times_crops(text: str, views: tuple[int, int]) -> None:
    assert parse_views(text) == views
    assert parse_views(format_views(views)) == views


@pytest.mark.parametrize(
    ("text", "advice"),
    [("4", "write 4x3"), ("ax3", "write 4x3"), ("0x3", "1x3"), ("4x2", "4x1 or 4x3"), ("-1x3", "4x3")],
)
def test_other_views_are_errors_that_say_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        parse_views(text)
