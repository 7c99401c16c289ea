"""A bucket of S3, or of what speaks as S3 does, under a prefix.

What belongs here: names, bytes, and what S3's errors mean. What must never: what is in the objects.
"""

import re
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any

from earwitness.aws.clients import AwsClients
from earwitness.errors import BucketUnavailable

_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
_SCHEME = "s3://"
_IS_THERE = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


def is_bucket(address: str) -> bool:
    """Return whether an address is meant to be a bucket's."""
    return address.startswith(_SCHEME)


class Bucket:
    """One bucket under one prefix. Every method raises BucketUnavailable. Safe to use from several threads."""

    def __init__(self, clients: AwsClients, *, name: str, prefix: str, region: str) -> None:
        """`prefix` has no slash at its end."""
        self._clients, self._region = clients, region
        self._name, self._prefix = name, f"{prefix}/" if prefix else ""

    @property
    def address(self) -> str:
        """Return it as `s3://BUCKET/PREFIX`."""
        return f"{_SCHEME}{self._name}/{self._prefix}".rstrip("/")

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in place of one of that name."""
        with self._errors():
            self._client().put_object(Bucket=self._name, Key=self._prefix + name, Body=content)

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one of that name; return whether it was written."""
        from botocore.exceptions import ClientError

        with self._errors():
            try:
                self._client().put_object(Bucket=self._name, Key=self._prefix + name, Body=content, IfNoneMatch="*")
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _IS_THERE:
                    return False
                raise
            return True

    def get(self, name: str, *, bytes_max: int) -> bytes | None:
        """Return the first `bytes_max` bytes of an object, None when there is none."""
        from botocore.exceptions import ClientError

        with self._errors():
            try:
                answer = self._client().get_object(Bucket=self._name, Key=self._prefix + name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                    return None
                raise
            with closing(answer["Body"]) as body:
                return body.read(bytes_max)

    def names(self, prefix: str, *, after: str = "") -> list[str]:
        """Return the names that begin so, sorted; only those behind `after` when it is given."""
        behind = {"StartAfter": self._prefix + after} if after else {}
        with self._errors():
            pages = (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self._name, Prefix=self._prefix + prefix, **behind)
            )
            return sorted(str(one["Key"])[len(self._prefix) :] for page in pages for one in page.get("Contents", []))

    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is no error."""
        with self._errors():
            self._client().delete_object(Bucket=self._name, Key=self._prefix + name)

    def _client(self) -> Any:  # boto3's clients have no types
        return self._clients.client("s3", self._region)

    @contextmanager
    def _errors(self) -> Generator[None]:
        from botocore.exceptions import ClientError

        from earwitness.aws.failures import UNANSWERED, answer_of

        try:
            yield
        except ClientError as error:
            code, status = answer_of(error)
            raise BucketUnavailable(
                f"{self.address} answers {code} ({status}); see that the bucket is there and lets these credentials in"
            ) from None
        except (*UNANSWERED, OSError) as error:
            raise BucketUnavailable(
                f"{self.address} cannot be reached ({type(error).__name__}); look after network and credentials"
            ) from error


def bucket_of(address: str, clients: AwsClients, *, region: str) -> Bucket | None:
    """Return the bucket of `s3://BUCKET/PREFIX`; None for anything else."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return None
    return Bucket(clients, name=found[1], prefix=(found[2] or "").strip("/"), region=region)
