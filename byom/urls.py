"""Every address outside the gateway."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path, re_path
from django.urls.resolvers import URLPattern, URLResolver
from django.views.generic import RedirectView

from agents.api import SessionViewSet
from agents.policy_api import PolicyView
from agents.tool_api import ToolServerViewSet, ToolViewSet
from benchmarks.api import BenchmarkRunViewSet
from benchmarks.schedule_api import BenchmarkScheduleViewSet
from byom import health, views
from byom.routing import OptionalSlashRouter
from credentials.alias_api import AliasViewSet
from credentials.api import CredentialViewSet
from credentials.audit_api import AuditEventViewSet
from credentials.token_api import AccessTokenViewSet
from usage.api import SummaryView, UsageRecordViewSet
from usage.budget_api import BudgetViewSet
from usage.metrics_views import metrics

router = OptionalSlashRouter()
router.register("users/me/llm-credentials", CredentialViewSet, basename="llm-credential")
router.register("users/me/access-tokens", AccessTokenViewSet, basename="access-token")
router.register("users/me/model-aliases", AliasViewSet, basename="model-alias")
router.register("users/me/audit-events", AuditEventViewSet, basename="audit-event")
router.register("agent/sessions", SessionViewSet, basename="agent-session")
router.register("agent/tools", ToolViewSet, basename="agent-tool")
router.register("agent/tool-servers", ToolServerViewSet, basename="agent-tool-server")
router.register("benchmarks/runs", BenchmarkRunViewSet, basename="benchmark-run")
router.register("benchmarks/schedules", BenchmarkScheduleViewSet, basename="benchmark-schedule")
router.register("usage/budgets", BudgetViewSet, basename="budget")
router.register("usage/records", UsageRecordViewSet, basename="usage-record")

admin.site.site_header = admin.site.site_title = "BYOM administration"
# Staff sign in where everybody does, so that their second factor counts here too.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    re_path(r"^api/v1/usage/summary/?$", SummaryView.as_view(), name="usage-summary"),
    path("api/v1/", include((router.urls, "api"))),
    re_path(r"^api/v1/users/me/policy/?$", PolicyView.as_view(), name="policy"),
    re_path(r"^api/", views.unknown_api_address),
    path("keys/", include("credentials.urls")),
    path("chat/", include("agents.urls")),
    path("usage/", include("usage.urls")),
    path("benchmarks/", include("benchmarks.urls")),
    path("livez", health.live, name="livez"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("favicon.ico", RedirectView.as_view(url="/static/byom/favicon.svg", permanent=True)),
]

handler400 = "byom.errors.bad_request"
handler403 = "byom.errors.permission_denied"
handler404 = "byom.errors.page_not_found"
handler500 = "byom.errors.server_error"
