"""Backends of media for tests: local disk, and a real S3 protocol on a stub server in this process."""

import re
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image
from sqlalchemy import func, update

from store.database import SyncDatabase
from store.media.interface import Media, Upload
from store.media.local import LocalMedia
from store.media.s3 import S3Media
from store.models import Photo

REGION = "ap-northeast-2"
POLICY = re.findall(
    r"```json\n(.+?)```", (Path(__file__).parents[2] / "docs" / "operations.md").read_text(), re.DOTALL
)[0]
"""What docs/operations.md tells operators to give their bucket."""


@pytest.fixture
def local_media(tmp_path: Path) -> LocalMedia:
    return LocalMedia(tmp_path / "media", b"a secret of the tests")


@pytest.fixture
def media(local_media: LocalMedia) -> Media:
    """The backend that the application and the tasks work with."""
    return local_media


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Where the stub of S3 listens."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_media(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Media:
    """A bucket of its own on the stub."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    bucket = f"photos-{uuid4().hex[:12]}"
    client = boto3.client("s3", region_name=REGION, endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.put_bucket_policy(Bucket=bucket, Policy=POLICY.replace("BUCKET", bucket))
    return S3Media(bucket, REGION, s3_endpoint, f"{s3_endpoint}/{bucket}", path_style=True)


@pytest.fixture
def no_photo_waits(sync_database: SyncDatabase) -> None:
    """Photos that other tests have left are not made before this test's own."""
    with sync_database.transaction() as session:
        session.execute(update(Photo).values(due_at=func.now() + timedelta(days=1)))


def picture(kind: str = "JPEG", size: tuple[int, int] = (60, 40), **options: Any) -> bytes:
    """An image file: its left half red, the right one blue."""
    image = Image.new("RGB", size, (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1]))
    written = BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def send_form(upload: Upload, content: bytes, **changes: str) -> int:
    """What a browser does with an upload that has fields; the status."""
    boundary = uuid4().hex
    parts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (upload.fields | changes).items()
    )
    file = b'Content-Disposition: form-data; name="file"; filename="../x.html"\r\n\r\n' + content
    body = parts + f"--{boundary}\r\n".encode() + file + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        upload.url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        status: int = answer.status
    return status
