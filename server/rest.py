"""One REST process: `python -m server.rest --port N`."""

from sqlalchemy import text

from handlers.start import ROUTES, make_services
from market.accounts.sessions import Lifetime
from realtime import asyncapi
from server import health, media, process
from server.senders import web_push
from server.settings import Settings
from store.database import Database
from store.redis.clients import Hot


async def main(settings: Settings, port: int) -> None:
    """Serves REST on loopback until told to stop; PostgreSQL and Redis need not be there yet."""
    hot = Hot.connect(settings.redis.url)
    database = Database(settings.postgres.url, hot)

    async def ask_postgres() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))

    readiness = health.Readiness({"postgresql": ask_postgres, "redis": hot.ping})
    application = process.ServerApplication(
        [*ROUTES, *health.routes(readiness)],
        services=make_services(
            database=database,
            hot=hot,
            media=media.connect(settings),
            development=settings.development,
            token_keys=settings.keys.tokens,
            secret_keys=settings.keys.secrets,
            handover_keys=settings.keys.handovers.values(),
            unsubscribe_key=settings.keys.unsubscribe,
            trace_key=settings.keys.trace,
            push_key=web_push(settings).public_key,
            session_lifetime=Lifetime(settings.accounts.session_ttl_s, settings.accounts.session_max_s),
            verify_email=settings.accounts.verify_email,
            allowed_origins=settings.gateway.allowed_origins,
            quota_factor=settings.limits.quota_factor,
            asyncapi=asyncapi.document(),
        ),
    )
    try:
        await process.serve(
            application, port, readiness, lambda timeout_s: process.finish_requests(application, timeout_s)
        )
    finally:
        await hot.close()
        await database.dispose()


if __name__ == "__main__":
    process.run("rest", main)
