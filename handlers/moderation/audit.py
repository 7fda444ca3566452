"""The audit log."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.admin import AdminHandler
from handlers.http.operations import operation
from handlers.http.parsing import PageQuery
from market import audit
from market.audit import AuditView
from market.errors import GeneralRefusal
from market.fields import ONE_LINE
from market.pages import Page
from store.models import Role

Word = Annotated[str, Meta(max_length=100, pattern=ONE_LINE)]


class AuditQuery(PageQuery, frozen=True, kw_only=True):
    """Which entries: by whom, about what (an id, or a code), of which action."""

    actor: UUID | None = None
    subject: Word | None = None
    action: Word | None = None


class AuditHandler(AdminHandler):
    """GET: what moderators, admins and operators have done, newest first."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.ADMIN)
    async def get(self, query: AuditQuery) -> Page[AuditView]:
        return await self.use(audit.page, query.actor, query.subject, query.action, query.cursor, query.limit)


routes = [(r"/api/v1/admin/audit", AuditHandler)]
