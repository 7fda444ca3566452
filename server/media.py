"""The backend of media that the settings name."""

from server.settings import Settings
from server.settings.secret_files import secret
from store.media.interface import Media
from store.media.local import LocalMedia
from store.media.s3 import S3Media


def connect(settings: Settings) -> Media:
    """The backend. Nothing is asked of it yet. On local disk it makes the secret that signs uploads, once."""
    s3, base = settings.media.s3, settings.media.base
    if s3 is not None:
        return S3Media(s3.bucket, s3.region, s3.endpoint, base, s3.path_style)
    return LocalMedia(settings.media_dir, secret(settings.home, "media").encode(), base)
