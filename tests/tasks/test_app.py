"""The Celery application, alone and as real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.notifications import account_emails
from store.models import AccountEmailKind, AuctionStatus, User
from store.redis.keys import WRITE_BACK_AT
from tasks.app import DEFAULT, PHOTOS, POST, WRITE_BACK, app
from tests.support.factories import make_user
from tests.support.stage import Stage
from tests.support.waiting import until

REPO = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def _worker(
    stage: Stage, database_url: str, redis_url: str, tmp_path: Path, mail_dir: Path
) -> Iterator[None]:
    """Beat and a worker of three queues, with two children."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "tests.support.worker", "worker", "--beat"),
            *("--queues", f"{DEFAULT},{WRITE_BACK},{POST}", "--concurrency", "2", "--loglevel", "warning"),
            *("--without-mingle", "--without-gossip", "--schedule", str(tmp_path / "schedule")),
        ],
        cwd=REPO,
        env={
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "MEDIA_ROOT": str(tmp_path),
            "MAIL_DIR": str(mail_dir),
        },
    )
    yield
    process.terminate()
    process.wait(30)


@pytest.mark.usefixtures("_worker")
async def test_a_worker_sells_an_auction_without_any_help(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.bid(auction, bidder, 5_000)
    await until(lambda: stage.bids(auction))
    assert stage.stored(auction).status == AuctionStatus.PUBLISHED
    stage.end(auction)

    await until(lambda: stage.stored(auction).status == AuctionStatus.SOLD)

    assert stage.bids(auction) == [(1, 1, bidder, 5_000)]
    assert stage.resources.hot.client.get(WRITE_BACK_AT)
    stage.check_ledger()


@pytest.mark.usefixtures("_worker")
async def test_a_worker_sends_a_mail_without_any_help(stage: Stage, mail_dir: Path) -> None:
    with stage.resources.database.transaction() as session:
        address = session.get_one(User, make_user(session)).email
        account_emails.write(session, AccountEmailKind.RESET, address)

    await until(lambda: [file for file in mail_dir.glob("*.eml") if address in file.read_text()])


@pytest.fixture
def deaf_worker(redis_url: str, database_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with two children whom nobody sends anything, as after a broker's restart that it did not notice."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "tests.support.worker", "worker", "--queues", "unheard"),
            *("--concurrency", "2", "--loglevel", "critical", "--without-mingle", "--without-gossip"),
        ],
        cwd=REPO,
        env={
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "MEDIA_ROOT": "",
            "SILENCE_S": "5",
            "MAIL_DIR": "unused",
        },
        start_new_session=True,
    )
    yield process
    process.kill()
    process.wait()


async def test_a_worker_that_hears_nothing_ends_with_its_children(
    deaf_worker: "subprocess.Popen[bytes]",
) -> None:
    await until(lambda: len(group(deaf_worker.pid)) == 3)

    await until(lambda: deaf_worker.poll() == 1)

    await until(lambda: group(deaf_worker.pid) == [])


def group(group_id: int) -> list[int]:
    """The processes of a group."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group_id and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


def test_every_periodic_task_exists_and_does_not_pile_up() -> None:
    app.loader.import_default_modules()

    schedule = app.conf.beat_schedule
    assert {name.removeprefix("tasks.") for name in schedule} == {
        "auctions.check_logs",
        "auctions.close_due",
        "auctions.load_missing",
        "auctions.sweep_paddles",
        "figures.forget_figures",
        "figures.sample_figures",
        "deliveries.push_due",
        "mail.send_due",
        "neighbourhood.check_copies",
        "neighbourhood.end_due",
        "neighbourhood.mirror_missing",
        "orders.count_reviews",
        "orders.time_out_orders",
        "photos.make_photos",
        "photos.sweep_files",
        "photos.sweep_photos",
        "platform.bring_switches",
        "reminders.tell_announced",
        "reminders.tell_ending",
        "reminders.tell_extended",
        "reminders.tell_opened",
        "sessions.end_expired",
        "sessions.tell_revoked",
        "settlement.settle_due",
        "signals.find_signals",
        "signals.forget_traces",
        "upkeep.forget_idempotency_keys",
        "upkeep.forget_mails",
        "upkeep.forget_messages",
        "upkeep.forget_notifications",
        "write_back.write_back_logs",
    }
    for entry in schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] <= max(entry["schedule"], 10)


def test_write_back_photos_and_post_have_queues_of_their_own() -> None:
    app.loader.import_default_modules()

    schedule = app.conf.beat_schedule
    modules = {
        queue: {name.split(".")[1] for name, entry in schedule.items() if entry["options"]["queue"] == queue}
        for queue in (WRITE_BACK, PHOTOS, POST)
    }
    assert modules == {WRITE_BACK: {"write_back"}, PHOTOS: {"photos"}, POST: {"mail", "deliveries"}}


def test_a_worker_without_a_list_of_queues_leaves_write_back_alone() -> None:
    assert set(app.amqp.queues.consume_from) == {DEFAULT}
