"""One self-contained HTML page of a run, out of the files in its folder. No model is needed, and no network."""

from tubelet.report.page import Section, write_report

__all__ = ["Section", "write_report"]
