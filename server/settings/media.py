"""Where photos are stored, and where the public reads them."""

import re
from dataclasses import dataclass
from typing import Self

from server.settings.reader import ORIGIN, Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """A bucket in a service that speaks S3."""

    bucket: str
    region: str
    endpoint: str
    path_style: bool
    """Whether the bucket stands in the path instead of the host name: at all endpoints but Amazon's."""

    @property
    def url(self) -> str:
        """Where the bucket is found."""
        if self.path_style:
            return f"{self.endpoint}/{self.bucket}"
        return self.endpoint.replace("://", f"://{self.bucket}.", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """The backend of media."""

    s3: S3 | None
    """None: media are stored in `Settings.media_dir`."""
    base: str
    """Where the public reads media: a path of the gateway, or an address elsewhere."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins other than the gateway's where pages read media and send uploads to."""
        addresses = [self.base] if self.s3 is None else [self.base, self.s3.url]
        origins = (ORIGIN.match(address) for address in addresses)
        return tuple(dict.fromkeys(origin[0] for origin in origins if origin))

    @classmethod
    def read(cls, read: Reader) -> Self:
        # They stand in Nginx's configuration and in addresses, so they must be what they seem to be.
        base = read.text("NEIGHBORBID_MEDIA_URL", "")
        if base and not re.fullmatch(rf"{ORIGIN.pattern}(/[\w./~-]*[\w~-])?", base, re.ASCII):
            read.problems.append(
                f"NEIGHBORBID_MEDIA_URL must be an address such as https://media.example.org, not {base!r}."
            )
        bucket = read.text("NEIGHBORBID_S3_BUCKET", "")
        region = read.text("NEIGHBORBID_S3_REGION", "us-east-1")
        endpoint = read.origin("NEIGHBORBID_S3_ENDPOINT", "https://s3.example.org")
        if not re.fullmatch("[a-z0-9-]+", region):
            read.problems.append(f"NEIGHBORBID_S3_REGION must be the name of a region, not {region!r}.")
        if read.choice("NEIGHBORBID_MEDIA", ("local", "s3")) == "local":
            if bucket or endpoint:
                read.problems.append(
                    "NEIGHBORBID_S3_BUCKET and NEIGHBORBID_S3_ENDPOINT need NEIGHBORBID_MEDIA=s3."
                )
            return cls(s3=None, base=base or "/media")
        if not re.fullmatch("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            read.problems.append(f"NEIGHBORBID_S3_BUCKET must be the name of a bucket, not {bucket!r}.")
        s3 = S3(
            bucket=bucket,
            region=region,
            endpoint=endpoint or f"https://s3.{region}.amazonaws.com",
            path_style=endpoint != "",
        )
        return cls(s3=s3, base=base or s3.url)
