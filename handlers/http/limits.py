"""How often an account, or a guest's address, may do what. docs/security.md explains the numbers."""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from uuid import UUID

import structlog
from redis import RedisError

from store.redis.clients import Hot
from store.redis.limits import Policy, QuotaState, spend

DEVELOPMENT_FACTOR = 100
"""In development one machine plays everybody."""

DEFAULT = Policy("default", 600, 60)
POLICIES: list[tuple[str, str, Policy]] = [
    ("POST", r"/api/v1/auth/login", Policy("login", 20, 60)),
    ("POST", r"/api/v1/auth/register", Policy("register", 60, 3600)),
    ("POST", r"/api/v1/auth/forgot", Policy("forgot", 20, 3600)),
    ("POST", r"/api/v1/auth/(reset|verify)", Policy("mail_token", 30, 3600)),
    ("POST", r"/api/v1/me/verification", Policy("verification", 5, 3600)),
    ("POST", r"/api/v1/auth/refresh", Policy("refresh", 600, 60)),
    ("POST", r"/api/v1/me/password", Policy("password", 10, 60)),
    ("POST", r"/api/v1/me/deletion", Policy("deletion", 10, 60)),
    ("POST", r"/api/v1/me/second-factor(/.*)?", Policy("second_factor", 10, 60)),
    ("POST", r"/api/v1/wallet/top-ups", Policy("top_up", 30, 60)),
    ("POST|PATCH|DELETE", r"/api/v1/auctions/[^/]+/paddle", Policy("paddle", 60, 60)),
    ("POST", r"/api/v1/auctions/[^/]+/(bids|purchase)", Policy("bid", 120, 60)),
    ("POST", r"/api/v1/seller/auctions/[^/]+/publish", Policy("publish", 30, 60)),
    ("POST", r"/api/v1/seller/auctions/[^/]+/cancel", Policy("cancel", 30, 60)),
    ("PATCH|DELETE", r"/api/v1/seller/auctions/[^/]+", Policy("edit", 120, 60)),
    ("POST", r"/api/v1/seller/auctions/[^/]+/(duplicate|relist)", Policy("copy", 60, 60)),
    ("GET|HEAD", r"/api/v1/seller/report", Policy("seller_report", 60, 60)),
    ("POST", r"/api/v1/ws-tickets", Policy("ticket", 60, 60)),
    ("GET|HEAD", r"/api/v1/auctions", Policy("search", 300, 60)),
    ("POST", r"/api/v1/auctions/[^/]+/photos", Policy("photo", 120, 600)),
    ("POST", r"/api/v1/me/avatar", Policy("avatar", 20, 600)),
    ("POST", r"/api/v1/uploads/[^/]+", Policy("upload", 600, 600)),
    ("POST", r"/api/v1/me/neighbourhoods", Policy("neighbourhood", 10, 86_400)),
    ("POST", r"/api/v1/orders/[^/]+/messages", Policy("message", 60, 60)),
    ("POST", r"/api/v1/orders/[^/]+/(?!messages|handover/code).+", Policy("order", 60, 60)),
    ("POST", r"/api/v1/auctions/[^/]+/questions", Policy("question", 30, 3600)),
    ("PUT", r"/api/v1/questions/[^/]+/answer", Policy("answer", 60, 60)),
    ("PUT|DELETE", r"/api/v1/me/watches/[^/]+", Policy("watch", 120, 60)),
    ("POST", r"/api/v1/reports", Policy("report", 20, 3600)),
    ("PUT|DELETE", r"/api/v1/me/blocks/[^/]+", Policy("block", 60, 60)),
    ("POST", r"/api/v1/admin/reports/[^/]+/resolve", Policy("resolve", 120, 60)),
    ("POST", r"/api/v1/admin/fraud-signals/[^/]+/review", Policy("signal", 120, 60)),
    ("POST", r"/api/v1/admin/(auctions/[^/]+/cancel|outages)", Policy("intervention", 60, 60)),
    ("PUT", r"/api/v1/admin/(auctions|reviews|messages|questions)/[^/]+/hidden", Policy("hide", 120, 60)),
    ("PUT", r"/api/v1/admin/(seller-fee|switches|increment-tables)", Policy("setting", 30, 60)),
    ("GET|HEAD", r"/api/v1/admin/platform-stats(/series)?", Policy("platform_stats", 120, 60)),
    ("PUT", r"/api/v1/admin/(categories|regions)/[^/]+", Policy("catalogue", 60, 60)),
    ("POST", r"/api/v1/admin/announcements(/[^/]+/end)?", Policy("announcement", 30, 60)),
    (
        "POST",
        r"/api/v1/admin/users/[^/]+/(warn|suspend|ban|unban|revoke-sessions)",
        Policy("sanction", 60, 60),
    ),
    ("POST", r"/api/v1/admin/disputes/[^/]+/resolve", Policy("dispute", 60, 60)),
    ("POST", r"/api/v1/admin/adjustments(/.+)?", Policy("adjustment", 30, 60)),
    ("PUT", r"/api/v1/admin/users/[^/]+/role", Policy("role", 30, 60)),
    ("POST", r"/api/v1/notifications/([^/]+/)?read", Policy("read", 300, 60)),
    ("PUT", r"/api/v1/notifications/preferences", Policy("preferences", 30, 60)),
    ("POST", r"/api/v1/notifications/push-subscriptions", Policy("push_subscription", 30, 3600)),
    ("POST", r"/api/v1/notifications/unsubscribe", Policy("unsubscribe", 600, 60)),
]
"""Methods and path (regular expressions) of what has a quota of its own. All the rest shares `DEFAULT`."""

log = structlog.get_logger()


def policy_of(method: str, path: str, factor: int) -> Policy:
    """What holds for this request, with the quota multiplied by `factor`."""
    own = (
        policy
        for methods, pattern, policy in POLICIES
        if re.fullmatch(methods, method) and re.fullmatch(pattern, path)
    )
    policy = next(own, DEFAULT)
    return Policy(policy.name, policy.quota * factor, policy.window_s)


def who(account: UUID | None, address: str) -> str:
    """Whom a request counts for. An IPv6 address stands for its /64: a client that has one has all of them."""
    if account is not None:
        return f"account:{account}"
    try:
        parsed = ip_address(address)
    except ValueError:
        # A Unix socket has none.
        return "address:"
    if isinstance(parsed, IPv6Address):
        return f"address:{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return f"address:{parsed}"


async def count(hot: Hot, policy: Policy, who: str) -> QuotaState | None:
    """Count one request. None when Redis is away: refusing everybody would be the greater harm."""
    try:
        return await hot.run(spend(policy, who))
    except RedisError as error:
        log.warning("quota_not_counted", policy=policy.name, error=str(error))
        return None


def headers(policy: Policy, standing: QuotaState) -> Mapping[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-10."""
    return {
        "RateLimit-Policy": f'"{policy.name}";q={policy.quota};w={policy.window_s}',
        "RateLimit": f'"{policy.name}";r={standing.remaining};t={standing.reset_s}',
    }
