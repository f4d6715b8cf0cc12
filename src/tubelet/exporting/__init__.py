"""Models that leave the house: written in the format of another runtime, proven on real clips."""

from tubelet.exporting.check import ExportCheck, check_export
from tubelet.exporting.exporter import export
from tubelet.exporting.gate import Parity

__all__ = ["ExportCheck", "Parity", "check_export", "export"]
