"""Self-contained HTML pages of a run and of several, out of the files in their folders.

No model is needed, and no network.
"""

from tubelet.report.comparison import write_comparison
from tubelet.report.page import Section, write_report

__all__ = ["Section", "write_comparison", "write_report"]
