"""What all tables share. Amounts are bigint in minor units of the one currency; times are timestamptz in UTC."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.ids import new_id


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        int: BigInteger,
        str: Text,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
        list[list[int]]: JSONB,
    }


W = TypeVar("W", bound=StrEnum)


class WordOf(TypeDecorator[W]):
    """A column of words that are loaded as the members of their enum. `one_of` has PostgreSQL check them, too. The
    `column` is what the table was made with."""

    impl: type[String] | String = String
    cache_ok = True

    def __init__(self, words: type[W], column: type[String] = String) -> None:
        super().__init__()
        self.words, self.column, self.impl = words, column, column()

    def process_bind_param(self, value: W | None, dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> W | None:
        return None if value is None else self.words(value)


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """A column holds one of these words."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


class Outgoing:
    """The columns of a table whose rows are sent by a task; `store.outbox` has the policy. `sent_at` or `dead_at`
    (given up) ends a row."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(server_default="0")
    sent_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
