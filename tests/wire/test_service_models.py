"""The models as we read them, against botocore's own reader, and the corrections."""

import copy
import subprocess
import sys
import tomllib
from typing import Any

import botocore.session
import pytest

from earwitness.errors import ConfigurationError
from earwitness.wire.service_models import (
    CORRECTIONS,
    SERVICE_NAMES,
    ServiceModel,
    apply_correction,
    build_service,
    load_services,
    read_model,
)

ALL = tomllib.loads(CORRECTIONS.read_text(encoding="utf-8"))["correction"]


def read_by_botocore(name: str) -> Any:  # botocore has no annotations: its cached properties pass for their descriptors
    return botocore.session.Session().get_service_model(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_we_read_what_botocore_reads(name: str, services: dict[str, ServiceModel]) -> None:
    service = services[name]
    theirs = read_by_botocore(name)
    assert service.signing_name == theirs.signing_name
    ours_alone = {"PutMedia"} if name == "kinesis-video-media" else set()  # in AWS's producers and in no model
    assert set(service.operations) - ours_alone == set(theirs.operation_names)
    assert service.faults == {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in theirs.error_shapes}
    for operation in service.operations.values():
        if operation.name in ours_alone:
            continue
        model = theirs.operation_model(operation.name)
        assert operation.method == model.http["method"]
        assert operation.status == model.http.get("responseCode", 200)
        assert [*operation.faults] == [shape.name for shape in model.error_shapes]
        for ours, other in ((operation.input, model.input_shape), (operation.output, model.output_shape)):
            assert (ours is None) == (other is None)
            if ours and other:
                assert [*ours.members] == [*other.members]
                assert [*ours.required] == other.required_members
                for member in ours.members.values():
                    serialization = other.members[member.name].serialization
                    assert member.wire_name == serialization.get("name", member.name)
                    assert member.location == serialization.get("location", "body")
                    assert member.shape.type == other.members[member.name].type_name


@pytest.mark.parametrize("correction", ALL, ids=lambda correction: "/".join(correction["at"]))
def test_a_correction_is_needed_and_says_why(correction: dict[str, object]) -> None:
    model = read_model(str(correction["service"]))
    untouched = copy.deepcopy(model)
    apply_correction(model, correction)
    assert model != untouched, "AWS has mended this; take the correction out"
    assert len(str(correction["reason"])) > 10


def test_a_correction_that_fits_no_more_is_an_error() -> None:
    model = {"shapes": {"Name": {"type": "string", "pattern": "other"}}}
    correction = {"service": "s", "at": ["shapes", "Name", "pattern"], "was": "bad(", "becomes": "good", "reason": "r"}
    with pytest.raises(ConfigurationError, match="shapes/Name/pattern does not fit"):
        apply_correction(model, correction)
    with pytest.raises(ConfigurationError):
        apply_correction({"shapes": {}}, correction)
    model["shapes"]["Name"]["pattern"] = "good"
    apply_correction(model, correction)


def test_a_correction_may_add_what_was_not_there() -> None:
    model = {"shapes": {"Task": {"type": "structure", "members": {}}}}
    apply_correction(
        model, {"service": "s", "at": ["shapes", "Task", "members", "Note"], "becomes": {"shape": "S"}, "reason": "r"}
    )
    assert model["shapes"]["Task"]["members"] == {"Note": {"shape": "S"}}


def test_a_pattern_that_does_not_compile_is_an_error_at_load() -> None:
    with pytest.raises(ConfigurationError, match="ClientRequestId does not compile"):
        build_service("chime-sdk-voice", read_model("chime-sdk-voice"))


def test_a_service_that_botocore_lacks_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="install botocore"):
        load_services(["chime-sdk-smells"])


def test_the_corrected_patterns_mean_what_aws_meant(services: dict[str, ServiceModel]) -> None:
    shape = services["kinesisvideo"].operations["TagStream"].input
    assert shape
    key = shape.members["Tags"].shape.inner["key"].pattern
    assert key
    for good in ("café", "漢字", "a b\u00a0c", "²", "k.:/=+-@_", ""):
        assert key.fullmatch(good), good
    for bad in ("a*b", "tab\t", "e\u0301", "😀"):
        assert not key.fullmatch(bad), bad


def test_loading_needs_none_of_botocores_client() -> None:
    command = (
        "import sys; from earwitness.wire.service_models import load_services; load_services();"
        "print([name for name in sys.modules if name in ('botocore.model', 'botocore.loaders', 'urllib3')])"
    )
    process = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
