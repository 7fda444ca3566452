"""One REST process: `python -m server.rest --port N`."""

from sqlalchemy import text

from handlers.http import openapi
from handlers.http.base import Services
from handlers.http.media import MediaThreads
from handlers.http.tokens import AccessTokens
from handlers.routes import ROUTES
from market.accounts.sessions import Lifetime
from server import asyncapi, health, media, process
from server.post import web_push
from server.settings import Settings
from store.database import Database
from store.redis.hot import Hot
from store.vault import Vault


async def main(settings: Settings, port: int) -> None:
    """Serves REST on loopback until told to stop; PostgreSQL and Redis need not be there yet."""
    hot = Hot.connect(settings.redis_url)
    database = Database(settings.database_url, hot)

    async def ask_postgres() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))

    readiness = health.Readiness({"postgresql": ask_postgres, "redis": hot.ping})
    services = Services(
        database=database,
        hot=hot,
        development=settings.development,
        tokens=AccessTokens(dict(settings.token_keys)),
        vault=Vault(dict(settings.secret_keys)),
        session_lifetime=Lifetime(settings.session_ttl_s, settings.session_max_s),
        verify_email=settings.verify_email,
        allowed_origins=frozenset(settings.allowed_origins),
        openapi=openapi.document(ROUTES),
        asyncapi=asyncapi.document(),
        quota_factor=settings.quota_factor,
        trace_key=settings.trace_key,
    )
    application = process.ServerApplication(
        [*ROUTES, *health.routes(readiness)],
        services=services,
        media=MediaThreads(media.connect(settings)),
        handover_keys=[key for _, key in settings.handover_keys],
        unsubscribe_key=settings.unsubscribe_key,
        push_key=web_push(settings).public_key,
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
