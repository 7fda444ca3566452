"""The backend of media that the settings name."""

from server.settings import Settings, secret
from store.media.interface import Media
from store.media.local import LocalMedia
from store.media.s3 import S3Media


def connect(settings: Settings) -> Media:
    """The backend. Nothing is asked of it yet. On local disk it makes the secret that signs uploads, once."""
    if settings.media == "s3":
        return S3Media(
            settings.s3_bucket,
            settings.s3_region,
            settings.s3_endpoint,
            settings.media_base,
            settings.s3_path_style,
        )
    return LocalMedia(settings.media_dir, secret(settings.home, "media").encode(), settings.media_base)
