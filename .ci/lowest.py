"""Prints the lowest version that pyproject.toml allows of each package that tubelet imports, as constraints for pip."""

import sys
import tomllib
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in map(Requirement, project["dependencies"]):
    (lowest,) = [bound.version for bound in requirement.specifier if bound.operator == ">="]
    sys.stdout.write(f"{requirement.name}=={lowest}\n")
