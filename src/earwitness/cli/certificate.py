"""`earwitness certificate`: what a running service deleted, signed, and checked without any service."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import Exit, print_json, print_table, reporting, say, warn
from earwitness.errors import AuditPlaceUnavailable, ConfigurationError, SignatureInvalid
from earwitness.voice.certificate import CERTIFICATE_PURPOSE

CERTIFICATE_BYTES_MAX = 10_000_000
"""A certificate has 300 bytes for each thing that was deleted."""

certificate = typer.Typer(
    help="Certificates of deletion: what was deleted, when, by whom, which keys were destroyed, which backups have it.",
    no_args_is_help=True,
)


@certificate.command("get")
def get_certificate(
    of: Annotated[
        str, typer.Argument(metavar="ID", help="Of what was deleted (a profile, a domain…), or of the deletion.")
    ],
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it to this file, for whoever shall have it.")
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a running service for the certificate of a deletion. With --out it is written to a file as well."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.get(f"/certificates/{service.segment(of, what='deletion')}")
        if file is not None:
            _write(file, found)
    if as_json:
        print_json(found)
        return
    _print(found)
    if file is not None:
        say("{}: written; `earwitness certificate verify` checks it anywhere", file)


@certificate.command("verify")
def verify_certificate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate.")],
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="PUBLIC",
            help="The public key of the service (`earwitness audit key`), as a line or a file with it.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a certificate without the service. Exit code 1: it was changed, or another key signed it.

    Without --key it is checked with the key that it names itself, which shows that nothing was changed, not by whom it
    was signed: compare that key with the one that the service gave you.
    """
    with reporting(as_json=as_json):
        content = _read(file)
        trusted = None if key is None else _public_key(key)
    try:
        found = _verified(content, trusted)
    except SignatureInvalid as error:
        if as_json:
            print_json({"valid": False, "reason": str(error)})
        else:
            say("[red]not valid[/red]: {}", str(error))
        raise typer.Exit(Exit.NO) from None
    if as_json:
        print_json({"valid": True, "trusted": trusted is not None, "certificate": found})
        return
    _print(found)
    if trusted is None:
        warn(
            "nothing was changed since it was signed; compare its key with the one that you were given: {}",
            found["publicKey"],
        )
    else:
        say("[green]valid[/green]: signed by the key that you gave, and nothing was changed")


# `Any`: a JSON object, here and below.
def _verified(content: bytes, trusted: str | None) -> dict[str, Any]:
    """Return the certificate. Raise SignatureInvalid unless the given key, or its own without one, proves it."""
    from earwitness.vault.signing import PublicKey, verified

    if trusted is None:
        try:
            trusted = str(json.loads(content)["publicKey"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SignatureInvalid("this is no certificate of deletion; it is damaged, or none of ours") from None
    public = PublicKey.from_text(trusted)
    found = verified(content, purpose=CERTIFICATE_PURPOSE, key=public)
    if found.get("publicKey") != public.text:
        raise SignatureInvalid("the certificate names another key than the one that signed it")
    return found


def _read(file: Path) -> bytes:
    """Return a file's content; raise ConfigurationError when it cannot be read, or is larger than any certificate."""
    from earwitness.audit.places import content_of

    try:
        return content_of(file, bytes_max=CERTIFICATE_BYTES_MAX, what="certificate")
    except AuditPlaceUnavailable as error:
        raise ConfigurationError(str(error)) from error


def _public_key(given: str) -> str:
    from earwitness.vault.signing import PublicKey

    if not given.strip():
        raise ConfigurationError("--key is empty: give what `earwitness audit key` prints where the records are")
    text = given if given.startswith("ed25519:") else _read(Path(given)).decode("ascii", "replace")
    try:
        return PublicKey.from_text(text).text
    except SignatureInvalid as error:
        raise ConfigurationError(str(error)) from error


def _write(file: Path, found: dict[str, Any]) -> None:
    """Write it to a new file: what is there is not written over."""
    try:
        with file.open("x", encoding="ascii") as opened:
            json.dump(found, opened, indent=2)
            opened.write("\n")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}; give another file") from error


def _print(found: dict[str, Any]) -> None:
    about = found["about"]
    what = "" if about is None else f" of {about['kind']} {about['id']}"
    say("certificate [b]{}[/b]{}", found["certificateId"], what)
    rows = [
        (
            one["deletedAt"][:19] + "Z",
            item["kind"],
            str(item["voiceprints"] or ""),
            item["destroyedKeyId"] or "",
            one["deletedBy"],
            one["reason"],
        )
        for one in found["deletions"]
        for item in one["items"]
    ]
    print_table(("deleted", "what", "voiceprints", "key destroyed", "by", "why"), rows)
    if not found["backups"]:
        say("no backup that the service knows of was made before and is still there")
        return
    say(
        "{} backups made before still have it, with its wrapped key; the last of them expires on {}",
        len(found["backups"]),
        found["backupsExpireAt"][:10],
    )
