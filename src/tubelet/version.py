"""The version, in the one place where it is written, and those of other packages."""

from importlib import metadata

__version__ = "0.1.0.dev0"


def version_of(package: str) -> str | None:
    """The version of an installed package; None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
