"""Media in a bucket of S3, or of anything that speaks like it. Clients upload to it and download from it themselves.

Credentials come the way boto3 finds them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from store.media.interface import MediaUnavailable, Upload, checked, incoming

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20
IMMUTABLE = "public, max-age=31536000, immutable"
_MISSING = {"404", "NoSuchKey"}


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise MediaUnavailable(str(error)) from error


class S3Media:
    """Files in `bucket`. `endpoint` is an origin; `base_url` is where the public reads the bucket.

    Buckets of AWS are parts of the host name; those of an endpoint of one's own (`path_style`) are parts of the path,
    which needs no DNS of its own.
    """

    def __init__(self, bucket: str, region: str, endpoint: str, base_url: str, path_style: bool) -> None:
        self._bucket, self._region, self._endpoint = bucket, region, endpoint
        self._base_url, self._path_style = base_url, path_style

    @cached_property
    def _client(self) -> Any:
        """Made when first used: in the process that uses it. Threads may share it."""
        session = boto3.session.Session()
        return session.client(
            "s3",
            region_name=self._region,
            endpoint_url=self._endpoint,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if self._path_style else "virtual"},
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard", "total_max_attempts": 2},
                # Not every S3 knows the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def upload(self, upload_id: UUID, size: int, content_type: str, ttl_s: int) -> Upload:
        expires_s = int(time.time()) + ttl_s
        with _reaching():
            post = self._client.generate_presigned_post(
                self._bucket,
                incoming(upload_id),
                Fields={"Content-Type": content_type},
                Conditions=[{"Content-Type": content_type}, ["content-length-range", size, size]],
                ExpiresIn=ttl_s,
            )
        return Upload(
            method="POST", url=post["url"], headers={}, fields=post["fields"], expires_at=expires_s * 1000
        )

    def url(self, key: str) -> str:
        return f"{self._base_url}/{checked(key)}"

    def size(self, key: str) -> int | None:
        with _reaching():
            try:
                return int(self._client.head_object(Bucket=self._bucket, Key=checked(key))["ContentLength"])
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise

    def read(self, key: str, at_most: int) -> bytes | None:
        with _reaching():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=checked(key))
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise
            with closing(answer["Body"]) as body:
                return bytes(body.read(at_most))

    def put(self, key: str, content: bytes, content_type: str) -> None:
        with _reaching():
            self._client.put_object(
                Bucket=self._bucket,
                Key=checked(key),
                Body=content,
                ContentType=content_type,
                CacheControl=IMMUTABLE,
            )

    def delete(self, keys: Collection[str]) -> None:
        with _reaching():
            for key in keys:
                self._client.delete_object(Bucket=self._bucket, Key=checked(key))

    def keys(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        with _reaching():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"], entry["LastModified"]
