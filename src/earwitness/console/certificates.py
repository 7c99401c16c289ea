"""Certificates of deletion, for people; the page's JSON is the certificate itself."""

from earwitness.console.context import ConsoleCall, Content
from earwitness.rest.certificate_models import GetCertificate
from earwitness.rest.certificates import certificate_document, get_certificate


def certificate_page(call: ConsoleCall[GetCertificate]) -> Content:
    """Show what was deleted."""
    return certificate_document(call.ask(get_certificate, call.params))
