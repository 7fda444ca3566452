"""The browsers that a user has subscribed to Web Push. Each is the address of a push service, and keys to encrypt with.

A browser chooses the address, but any client may send one: what we connect to is public, or refused."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.notifications.refusals import NotificationRefusal
from market.times import to_ms
from store import models
from store.ids import new_id
from store.models import PushSubscription, User

MAX_SUBSCRIPTIONS = 10
"""Of a user. A further one takes the place of the oldest."""

NAT64 = IPv6Network("64:ff9b::/96")
"""These addresses end with the IPv4 address that they lead to."""


class PushSubscriptionView(msgspec.Struct, frozen=True):
    """A browser subscribed to Web Push since `created_at` (ms)."""

    id: UUID
    created_at: int


def is_public(address: str) -> bool:
    """Whether an IP address is somewhere in the internet, and not in our own network. Raises ValueError for a name."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed in NAT64:
            parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
        else:
            parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_global and not parsed.is_multicast


def add(
    session: Session,
    user_id: UUID,
    session_id: UUID,
    endpoint: str,
    p256dh: bytes,
    auth: bytes,
    private_allowed: bool,
) -> PushSubscriptionView:
    """Subscribe a browser of the user, or renew its keys, for as long as this log-in (`session_id`) lasts. One that
    another user had subscribed is this user's from now on.

    Refuses with `invalid_subscription` unless its keys are some and `endpoint` is a public address with https; with
    `private_allowed` it may be any. What a name stands for is looked up when something is sent. Refuses with
    `unauthenticated` if the log-in is over.
    """
    if not _is_endpoint(endpoint, private_allowed):
        raise Refusal(
            NotificationRefusal.INVALID_SUBSCRIPTION,
            "The endpoint must be a public https address.",
            field="endpoint",
        )
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    except ValueError:
        raise Refusal(
            NotificationRefusal.INVALID_SUBSCRIPTION, "p256dh must be a public key.", field="p256dh"
        ) from None
    # Two subscriptions of one user at a time could both find room.
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    # What ends the log-in meanwhile waits, and deletes this subscription, too.
    lasting = select(models.Session.id).where(
        models.Session.id == session_id, models.Session.revoked_at.is_(None)
    )
    if session.scalar(lasting.with_for_update(read=True)) is None:
        raise Refusal(GeneralRefusal.UNAUTHENTICATED)
    keys = {
        "user_id": user_id,
        "session_id": session_id,
        "p256dh": p256dh,
        "auth": auth,
        "created_at": func.now(),
        "failures": 0,
    }
    stored = session.execute(
        insert(PushSubscription)
        .values(id=new_id(), endpoint=endpoint, **keys)
        .on_conflict_do_update(index_elements=[PushSubscription.endpoint], set_=keys)
        .returning(PushSubscription.id, PushSubscription.created_at)
    ).one()
    newest = (
        select(PushSubscription.id)
        .where(PushSubscription.user_id == user_id)
        .order_by(PushSubscription.created_at.desc(), PushSubscription.id.desc())
        .limit(MAX_SUBSCRIPTIONS)
    )
    session.execute(
        delete(PushSubscription).where(
            PushSubscription.user_id == user_id, PushSubscription.id.not_in(newest)
        ),
        execution_options={"synchronize_session": False},
    )
    return PushSubscriptionView(stored.id, to_ms(stored.created_at))


def _is_endpoint(endpoint: str, private_allowed: bool) -> bool:
    try:
        parts = urlsplit(endpoint)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    if private_allowed:
        return parts.scheme in ("https", "http")
    try:
        public = is_public(host)
    except ValueError:
        public = True
    return public and parts.scheme == "https"


def remove(session: Session, user_id: UUID, subscription_id: UUID) -> None:
    """Unsubscribe a browser. Refuses with `not_found`."""
    own = (PushSubscription.id == subscription_id) & (PushSubscription.user_id == user_id)
    if session.scalar(delete(PushSubscription).where(own).returning(PushSubscription.id)) is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
