"""Making photos of what was sent, and deleting what nobody needs."""

import time
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

import structlog

from market.listings import images, photos
from market.listings.images import PhotoProblem, Pictures
from market.listings.photos import Job
from store.media.interface import KEY, MediaUnavailable
from tasks.app import PHOTOS, Resources, periodic

log = structlog.get_logger()

RUN_S = 30
"""A run that is still not done stops here; the next one goes on."""


@periodic("tasks.photos.make_photos", every_s=1, queue=PHOTOS)
def make_photos(resources: Resources) -> None:
    """Make the sizes of every photo that waits for it."""
    end = time.monotonic() + RUN_S
    while time.monotonic() < end:
        with resources.database.transaction() as session:
            job = photos.claim(session)
        if job is None:
            return
        try:
            _make(resources, job)
        except MediaUnavailable:
            with resources.database.transaction() as session:
                photos.postpone(session, job)
            raise


def _make(resources: Resources, job: Job) -> None:
    """A crash anywhere is made good: the photo is claimed again later, and its files have the same names."""
    media = resources.media
    content = media.read(job.original, images.MAX_BYTES + 1)
    result = PhotoProblem.BROKEN_IMAGE if content is None else images.remake(content, job.is_avatar)
    if isinstance(result, Pictures):
        for size, file in result.files.items():
            media.put(job.targets[size], file, images.CONTENT_TYPE)
    with resources.database.transaction() as session:
        wanted = photos.finish(session, job, result)
    media.delete([job.original] if wanted else [job.original, *job.targets.values()])
    log.info(
        "photo_made", photo=str(job.id), problem=str(result) if isinstance(result, PhotoProblem) else None
    )


@periodic("tasks.photos.sweep_photos", every_s=60, queue=PHOTOS)
def sweep_photos(resources: Resources) -> None:
    """Delete photos that were discarded, given up or refused: files first, so that none is left without a row."""
    end = time.monotonic() + RUN_S
    while time.monotonic() < end:
        with resources.database.transaction() as session:
            doomed = photos.doomed(session)
        if not doomed:
            return
        resources.media.delete([key for keys in doomed.values() for key in keys])
        with resources.database.transaction() as session:
            photos.forget(session, doomed)
        log.info("photos_deleted", count=len(doomed))


@periodic("tasks.photos.sweep_files", every_s=3600, queue=PHOTOS)
def sweep_files(resources: Resources) -> None:
    """Delete files that no row needs, such as what was sent again after it had been made. Of the public ones, which may
    be millions, a sixteenth in each hour."""
    now = datetime.now(UTC)
    before = now - timedelta(seconds=photos.KEPT_S)
    prefixes = ("incoming/", "partial/", f"photos/{int(now.timestamp()) // 3600 % 16:x}")
    files = chain.from_iterable(map(resources.media.keys, prefixes))
    old = (key for key, written_at in files if written_at < before and _is_ours(key))
    while keys := list(islice(old, photos.BATCH)):
        with resources.database.transaction() as session:
            unwanted = photos.unwanted(session, keys)
        resources.media.delete(unwanted)
        if unwanted:
            log.info("files_deleted", count=len(unwanted))


def _is_ours(key: str) -> bool:
    """Whether it is a name that we give. What somebody else has put there is left to a person."""
    if KEY.fullmatch(key):
        return True
    log.warning("foreign_file", key=key)
    return False
