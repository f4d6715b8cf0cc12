"""The version and the changelog of a release.

python .ci/release.py prepare 0.1.0      sets both; nothing is committed
python .ci/release.py next 0.2.0.dev0    opens the next version
python .ci/release.py check v0.1.0       whether this tag is that of the files
"""

import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
OPEN = "## [Unreleased]\n"


def main(verb: str, version: str, root: Path = ROOT) -> None:
    """Do one of the three."""
    code, changes = root / "src/tubelet/version.py", root / "CHANGELOG.md"
    if verb == "check":
        _check(version.removeprefix("v"), code.read_text("utf-8"), changes.read_text("utf-8"))
        return
    if not re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", version):
        sys.exit(f"{version!r} is no version: expected 0.1.0, 0.1.0rc1 or 0.2.0.dev0")
    text = changes.read_text("utf-8")
    if verb == "prepare":
        if ".dev" in version:
            sys.exit(f"{version} is a version in between, which is not released")
        if OPEN not in text or not re.search(r"^- ", text.split(OPEN)[1].split("\n## [")[0], re.MULTILINE):
            sys.exit("CHANGELOG.md has nothing under [Unreleased], so there is nothing to release")
        text = text.replace(OPEN, f"## [{version}] - {datetime.date.today():%Y-%m-%d}\n", 1)
    elif verb == "next":
        if OPEN in text:
            sys.exit("CHANGELOG.md has a section [Unreleased] already; prepare a release first")
        text = text.replace("\n## [", f"\n{OPEN}\n## [", 1)
    else:
        sys.exit(f"{verb!r} is none of prepare, next, check")
    changes.write_text(text, "utf-8")
    code.write_text(VERSION.sub(f'__version__ = "{version}"', code.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{verb} {version}: {code.relative_to(root)}, {changes.relative_to(root)}\n")


def _check(version: str, code: str, changes: str) -> None:
    found = VERSION.search(code)
    if found is None or found[1] != version:
        sys.exit(f"the tag is of {version}, and src/tubelet/version.py says {found and found[1]}")
    if f"## [{version}] - " not in changes:
        sys.exit(f"CHANGELOG.md has no section of {version}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
