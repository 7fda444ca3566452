"""What a transaction has named to follow its commit."""

from uuid import UUID

from sqlalchemy.orm import Session

from market.accounts import sessions
from store import effects
from store.effects import CloseSockets, MirrorAuction


def ended(session: Session) -> list[UUID]:
    """The sessions whose sockets will be closed."""
    return [
        session_id
        for effect in effects.named(session)
        if isinstance(effect, CloseSockets)
        for session_id in effect.session_ids
    ]


def unclosed(session: Session) -> list[UUID]:
    """The sessions whose sockets the sweep would close now."""
    sessions.close_sockets(session)
    return ended(session)


def mirrored(session: Session) -> list[MirrorAuction]:
    """The mirrors that Redis will get, the last named last."""
    return [effect for effect in effects.named(session) if isinstance(effect, MirrorAuction)]


def die_after_commit(session: Session) -> None:
    """The process dies right after the commit of this transaction: nothing that it has named until now follows."""
    session.info.clear()
