"""The list of parts of a service with all extras, CycloneDX 1.6 in JSON: the same of the same environment and commit.

python scripts/sbom.py FILE
"""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import Distribution, requires
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import dependencies
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from earwitness import __version__
from earwitness.models.catalogue import catalogue


def made_at() -> datetime:
    """Return SOURCE_DATE_EPOCH, or else when the commit was made: never the time of day."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds:
        asked = subprocess.run(
            ["git", "log", "-1", "--format=%ct"], cwd=dependencies.ROOT, capture_output=True, text=True, check=False
        )
        seconds = asked.stdout.strip() or "0"
    return datetime.fromtimestamp(int(seconds), UTC)


def sbom() -> Bom:
    """Return the list of what is installed here with earwitness."""
    root = Component(
        name="earwitness",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=f"pkg:pypi/earwitness@{__version__}",
        purl=PackageURL("pypi", name="earwitness", version=__version__),
        licenses=[LicenseExpression("Apache-2.0")],
    )
    installed = dependencies.installed()
    parts = {dependencies.name_of(one): _part(one) for one in installed}
    bom = Bom(components=[*parts.values(), *_models()])
    bom.metadata.component = root
    bom.metadata.timestamp = made_at()
    wanted = {canonicalize_name(name) for name in _project_requirements()}
    bom.register_dependency(root, [part for name, part in parts.items() if name in wanted])
    for one in installed:
        names = {canonicalize_name(Requirement(text).name) for text in one.requires or () if "extra ==" not in text}
        part = parts[dependencies.name_of(one)]
        bom.register_dependency(part, [parts[name] for name in sorted(names & parts.keys())])
    text = "\n".join(sorted(str(part.purl) for part in parts.values()))
    bom.serial_number = uuid5(NAMESPACE_URL, f"{root.purl} {made_at()} {text}")
    return bom


def _part(one: Distribution) -> Component:
    name, version = dependencies.name_of(one), one.version
    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        licenses=[LicenseExpression(dependencies.licence_of(one))],
    )


def _models() -> list[Component]:
    """The voice models, which are fetched and are no packages that are installed."""
    return [
        Component(
            name=one.id,
            version=one.version,
            description=one.title,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"model:{one.folder}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one.member_sha256)],
            licenses=[LicenseExpression(one.licence)],
        )
        for one in catalogue().values()
    ]


def _project_requirements() -> list[str]:
    return [re.split(r"[\s\[<>=!~;]", text)[0] for text in requires("earwitness") or ()]


def text() -> str:
    """Return the list as JSON."""
    return JsonV1Dot6(sbom()).output_as_string(indent=2) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
