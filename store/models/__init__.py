"""The tables, by subject."""

from store.models.admin import Adjustment, AdjustmentState, AuditEntry, Direction
from store.models.auctions import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Bid,
    Category,
    Condition,
    Paddle,
    PaddleStatus,
    SearchWords,
)
from store.models.base import Base
from store.models.live import LogPosition, WriteBackAlarm
from store.models.money import Account, AccountKind, Transfer, TransferKind
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
from store.models.safety import Block, Report, ReportKind, ReportReason

__all__ = [
    "TRUST",
    "Account",
    "AccountKind",
    "Adjustment",
    "AdjustmentState",
    "Auction",
    "AuctionKind",
    "AuctionStatus",
    "AuditEntry",
    "Base",
    "Bid",
    "Block",
    "Category",
    "ChatMessage",
    "Condition",
    "Delivery",
    "Direction",
    "Handover",
    "IdempotencyKey",
    "Language",
    "LogPosition",
    "Mail",
    "MailKind",
    "MailToken",
    "Neighbourhood",
    "Order",
    "OrderEvent",
    "OrderState",
    "Paddle",
    "PaddleStatus",
    "Photo",
    "PhotoStatus",
    "Purpose",
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
    "WriteBackAlarm",
]
