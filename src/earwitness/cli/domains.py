"""`earwitness profiles --domain`: who is enrolled in a domain of a running service."""

from earwitness.cli.output import note, out, print_json, reporting, say, visible
from earwitness.cli.tasks import every


def list_domain(domain: str, *, url: str | None, region: str | None, as_json: bool) -> None:
    """Print the profiles of a domain with their voiceprints."""
    from rich.markup import escape
    from rich.table import Table

    from earwitness.cli.asking import asking, segment

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        path = f"/domains/{segment(domain, what='domain')}/profiles"
        found = list(every(service, path, "profiles"))
    if as_json:
        print_json(found)
        return
    if not found:
        say("nobody is enrolled in {}", domain, to=note)
        return
    table = Table("profile", "voiceprints", "net speech", "consent", "created", "expires")
    for profile in found:
        prints = profile["voiceprints"]
        consents = [
            one["consentReference"] or ("yes" if one["hasConsentReference"] else "none given") for one in prints
        ]
        row = (
            profile["profileId"],
            str(len(prints)) if prints else "expired",
            ", ".join(f"{one['netSpeechSeconds']:.1f} s" for one in prints),
            ", ".join(dict.fromkeys(consents)),
            profile["createdAt"][:10],
            profile["expiresAt"][:10],
        )
        table.add_row(*(escape(visible(text)) for text in row))
    out.print(table)
