from django.urls import path

from usage import alert_views, budget_views, views
from usage.reconciliation_views import reconciliation

app_name = "usage"
urlpatterns = [
    path("", views.usage, name="usage"),
    path("records/", views.records, name="records"),
    path("records/<uuid:pk>/", views.record, name="record"),
    path("budgets/", budget_views.budgets, name="budgets"),
    path("budgets/new", budget_views.budget_new, name="budget-new"),
    path("budgets/<uuid:pk>/", budget_views.budget_edit, name="budget-edit"),
    path("budgets/<uuid:pk>/delete", budget_views.budget_delete, name="budget-delete"),
    path("export.csv", views.export, {"form": "csv"}, name="export-csv"),
    path("export.jsonl", views.export, {"form": "jsonl"}, name="export-jsonl"),
    path("reconciliation/", reconciliation, name="reconciliation"),
    path("alerts/", alert_views.alerts, name="alerts"),
    path("alerts/test", alert_views.send_test, name="alert-test"),
    path("alerts/secret", alert_views.new_secret, name="alert-secret"),
]
