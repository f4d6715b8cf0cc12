"""Exported models: folders that `tubelet.export` wrote, run by the runtime of their format."""

from tubelet.exported.contract import CONTRACT_FILE, Contract
from tubelet.exported.model import ExportedViViT, load_exported

__all__ = ["CONTRACT_FILE", "Contract", "ExportedViViT", "load_exported"]
