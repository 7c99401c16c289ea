"""What the searches of a domain rest on: shown with its history, compared with a file or with what an evaluation
fitted, installed, and taken back.
"""

import json

from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.console.evaluation import fitted_calibration
from earwitness.console.forms import ENCODED_BYTES, FORM_LIMIT
from earwitness.errors import BodyTooLarge
from earwitness.rest.calibration_models import (
    SERVICE,
    CalibrationForm,
    CompareCalibration,
    GetCalibration,
    InstallCalibration,
    ListCalibrations,
    UseCalibration,
)
from earwitness.rest.calibrations import (
    compare_calibration,
    get_calibration,
    install_calibration,
    list_calibrations,
    use_calibration,
)
from earwitness.server.body import BodyLimit
from earwitness.store.calibrations import DOCUMENT_BYTES_MAX

_FILE_BYTES_MAX = 4 * DOCUMENT_BYTES_MAX
"""Of a file, which has each number on a line of its own."""

INSTALL_LIMIT = BodyLimit(
    bytes_max=ENCODED_BYTES * DOCUMENT_BYTES_MAX + FORM_LIMIT.bytes_max, seconds_max=FORM_LIMIT.seconds_max
)
"""Of the form that brings back a calibration that was compared."""


def calibrations_page(call: ConsoleCall[ListCalibrations]) -> Content:
    """Show what is in use, and what was before; with forms for those who may change it."""
    has_fitted = call.may("ShowEvaluation") and call.evaluations is not None and fitted_calibration(call) is not None
    return {"shown": call.ask(list_calibrations, call.params), "service": SERVICE, "hasFitted": has_fitted}


def kept_page(call: ConsoleCall[GetCalibration]) -> Content:
    """Show one calibration that the domain has or had; its JSON is the calibration file itself."""
    found = call.ask(get_calibration, call.params)
    return {name: getattr(found, name) for name in found.__struct_fields__}


def compare_upload(call: ConsoleCall[CompareCalibration]) -> Content:
    """Show what a file would change, with a form that installs it."""
    if call.recording.stat().st_size > _FILE_BYTES_MAX:
        raise BodyTooLarge(
            f"a file of a calibration has at most {_FILE_BYTES_MAX:,} bytes; is it the file that was meant?"
        )
    return _compared(call, call.recording.read_bytes())


def fitted_page(call: ConsoleCall[CompareCalibration]) -> Content:
    """Show what the calibration would change that the last evaluation has fitted, with a form that installs it."""
    fitted = fitted_calibration(call)
    return {"compared": None} if fitted is None else _compared(call, json.dumps(fitted).encode())


def _compared(call: ConsoleCall[CompareCalibration], document: bytes) -> Content:
    from earwitness.engine.calibration import calibration_bytes, parse_calibration  # with numpy: a start need not wait

    compared = call.ask(compare_calibration, call.params, body=document)
    judged = calibration_bytes(parse_calibration(document.decode(), name="the document"))
    return {"compared": compared, "document": judged.decode("ascii")}


def install_action(call: ConsoleCall[CalibrationForm]) -> Done:
    """Install a calibration that was compared; not where another is in use by now."""
    form = call.params
    asked = InstallCalibration(region=form.region, domain_id=form.domain_id, version=form.version)
    told = call.ask(install_calibration, asked, body=form.document.encode())
    return _done(form.domain_id, told.in_use.calibration_id)


def use_action(call: ConsoleCall[UseCalibration]) -> Done:
    """Go back to a calibration that the domain had, or to the service's own."""
    told = call.ask(use_calibration, call.params)
    return _done(call.params.domain_id, told.in_use.calibration_id)


def _done(domain_id: str, calibration_id: str) -> Done:
    return Done(
        message=f"Searches rest on calibration {calibration_id} from now on.",
        path=f"/domains/{domain_id}/calibration",
    )
