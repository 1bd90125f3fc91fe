from django.urls import path

from usage import alert_views, views

app_name = "usage"
urlpatterns = [
    path("", views.usage, name="usage"),
    path("records/", views.records, name="records"),
    path("records/<uuid:pk>/", views.record, name="record"),
    path("export.csv", views.export, {"form": "csv"}, name="export-csv"),
    path("export.jsonl", views.export, {"form": "jsonl"}, name="export-jsonl"),
    path("alerts/", alert_views.alerts, name="alerts"),
    path("alerts/test", alert_views.send_test, name="alert-test"),
    path("alerts/secret", alert_views.new_secret, name="alert-secret"),
]
