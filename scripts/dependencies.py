"""What is installed with earwitness and all its extras, and under which licences; `NOTICE` has the table.

python scripts/dependencies.py          # writes the table into NOTICE
"""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NOTICE = ROOT / "NOTICE"
BEGINS, ENDS = "Installed with earwitness, each under its own licence", "Also inside some of these packages"

FROM_ITS_FILES = {
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "flatbuffers": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "matplotlib": "PSF-2.0",
    "mdurl": "MIT",
    "numpy": "BSD-3-Clause",
    "onnxruntime": "MIT",
    "protobuf": "BSD-3-Clause",
    "pyrage": "MIT",
    "python-dateutil": "Apache-2.0 AND BSD-3-Clause",
    "s3transfer": "Apache-2.0",
    "scipy": "BSD-3-Clause",
    "shellingham": "ISC",
    "soundfile": "BSD-3-Clause",
    "uvloop": "Apache-2.0 OR MIT",
}
"""Of packages whose metadata name no licence of the SPDX list, or another with each version: read in their files."""


def installed() -> list[Distribution]:
    """Return everything that runs in a service with all extras, by name; not earwitness itself, nor what tests need.

    Raise SystemExit when something is not installed.
    """
    found = dict[str, Distribution]()
    extras = set(distribution("earwitness").metadata.get_all("Provides-Extra") or ()) - {"testing"}
    _add("earwitness", frozenset(extras), found, set())
    del found["earwitness"]
    return [found[name] for name in sorted(found)]


def _add(name: str, extras: frozenset[str], found: dict[str, Distribution], seen: set[tuple[str, str]]) -> None:
    try:
        one = distribution(name)
    except PackageNotFoundError:
        raise SystemExit(f"{name} is not installed; `make clean`, then again") from None
    found[canonicalize_name(name)] = one
    for text in one.requires or ():
        wanted = Requirement(text)
        for extra in ("", *sorted(extras)):
            if (text, extra) in seen or not (wanted.marker is None or wanted.marker.evaluate({"extra": extra})):
                continue
            seen.add((text, extra))
            _add(wanted.name, frozenset(wanted.extras), found, seen)


def name_of(one: Distribution) -> str:
    """Return the name of a package in its one spelling."""
    return canonicalize_name(one.metadata["Name"])


def licence_of(one: Distribution) -> str:
    """Return the licence as an SPDX expression. Raise SystemExit when the package names none, and neither do we."""
    name = name_of(one)
    if name in FROM_ITS_FILES:
        return FROM_ITS_FILES[name]
    said = one.metadata.get("License-Expression") or one.metadata.get("License") or ""
    if re.fullmatch(r"[A-Za-z0-9.()+ -]{2,60}", said):
        return said
    raise SystemExit(f"{name} names no licence; read its files, and add it to FROM_ITS_FILES in {Path(__file__).name}")


def notice(before: str) -> str:
    """Return NOTICE with the table of what is installed."""
    head, _, rest = before.partition(BEGINS)
    tail = rest[rest.index(ENDS) :]
    rows = [f"- {name_of(one)}: {licence_of(one)}" for one in installed()]
    title = f"{BEGINS} (extras included; made by `make docs`):"
    return "\n".join([f"{head}{title}", "", *rows, "", tail])


if __name__ == "__main__":
    NOTICE.write_text(notice(NOTICE.read_text(encoding="utf-8")), encoding="utf-8")
