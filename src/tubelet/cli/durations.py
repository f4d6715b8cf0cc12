"""Times that are typed."""

from __future__ import annotations

from tubelet.errors import ConfigError

UNITS = {"s": 1 / 60, "m": 1.0, "h": 60.0}


def minutes_of(text: str | None) -> float | None:
    """Minutes of a time like 90s, 30m or 1.5h; None stays None.

    Raises:
        ConfigError: it is no time.
    """
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "m")
    try:
        minutes = float(number) * UNITS[unit]
    except ValueError:
        minutes = -1.0
    if not 0 < minutes < float("inf"):
        raise ConfigError(f"--budget {text}: expected a time such as 90s, 30m or 1.5h")
    return minutes
