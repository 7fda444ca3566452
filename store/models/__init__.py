"""The tables, by subject."""

from store.models.admin import Adjustment, AdjustmentState, AuditEntry, Direction
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
    Telling,
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
from store.models.platform import Announcement, Figure, PlatformSetting
from store.models.questions import Question
from store.models.safety import Block, Report, ReportKind, ReportOutcome, ReportReason
from store.models.signals import LogInTrace, Signal, SignalKind
from store.models.watches import Watch

__all__ = [
    "TRUST",
    "Account",
    "AccountKind",
    "Adjustment",
    "AdjustmentState",
    "Announcement",
    "Auction",
    "AuctionKind",
    "AuctionStatus",
    "AuditEntry",
    "Base",
    "Bid",
    "Block",
    "Category",
    "Channel",
    "ChatMessage",
    "Condition",
    "Delivery",
    "Digest",
    "Direction",
    "Event",
    "Extension",
    "Figure",
    "Handover",
    "IdempotencyKey",
    "Language",
    "LogInTrace",
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
    "PlatformSetting",
    "Purpose",
    "PushSubscription",
    "Question",
    "RecoveryCode",
    "Region",
    "Report",
    "ReportKind",
    "ReportOutcome",
    "ReportReason",
    "Review",
    "Role",
    "SearchWords",
    "SecondFactor",
    "Session",
    "Signal",
    "SignalKind",
    "Telling",
    "Transfer",
    "TransferKind",
    "User",
    "Watch",
    "WriteBackAlarm",
]
