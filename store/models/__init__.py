"""The tables, by subject."""

from store.models.auctions import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Bid,
    Category,
    Condition,
    Extension,
    Paddle,
    PaddleStatus,
    SearchWords,
)
from store.models.base import Base
from store.models.live import LogPosition, WriteBackAlarm
from store.models.money import Account, AccountKind, Transfer, TransferKind
from store.models.notifications import (
    Channel,
    Digest,
    Event,
    Notification,
    NotificationDelivery,
    NotificationPreferences,
    PushSubscription,
)
from store.models.orders import ChatMessage, Delivery, Handover, Order, OrderEvent, OrderState, Review
from store.models.people import (
    TRUST,
    IdempotencyKey,
    Language,
    Mail,
    MailKind,
    MailToken,
    Purpose,
    RecoveryCode,
    Role,
    SecondFactor,
    Session,
    User,
)
from store.models.photos import Photo, PhotoStatus
from store.models.places import Neighbourhood, Region
from store.models.questions import Question
from store.models.safety import Block, Report, ReportKind, ReportReason
from store.models.watches import Watch

__all__ = [
    "TRUST",
    "Account",
    "AccountKind",
    "Auction",
    "AuctionKind",
    "AuctionStatus",
    "Base",
    "Bid",
    "Block",
    "Category",
    "Channel",
    "ChatMessage",
    "Condition",
    "Delivery",
    "Digest",
    "Event",
    "Extension",
    "Handover",
    "IdempotencyKey",
    "Language",
    "LogPosition",
    "Mail",
    "MailKind",
    "MailToken",
    "Neighbourhood",
    "Notification",
    "NotificationDelivery",
    "NotificationPreferences",
    "Order",
    "OrderEvent",
    "OrderState",
    "Paddle",
    "PaddleStatus",
    "Photo",
    "PhotoStatus",
    "Purpose",
    "PushSubscription",
    "Question",
    "RecoveryCode",
    "Region",
    "Report",
    "ReportKind",
    "ReportReason",
    "Review",
    "Role",
    "SearchWords",
    "SecondFactor",
    "Session",
    "Transfer",
    "TransferKind",
    "User",
    "Watch",
    "WriteBackAlarm",
]
