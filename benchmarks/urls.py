from django.urls import path

from benchmarks import (
    compare_views,
    file_views,
    schedule_views,
    start_views,
    trend_views,
    views,
)

app_name = "benchmarks"
urlpatterns = [
    path("", views.runs, name="runs"),
    path("new/", start_views.new, name="new"),
    path("simulated", start_views.simulated, name="simulated"),
    path("trends/", trend_views.trends, name="trends"),
    path("schedules/", schedule_views.schedules, name="schedules"),
    path("schedules/new/", schedule_views.new, name="schedule-new"),
    path("schedules/<uuid:pk>/switch", schedule_views.switch, name="schedule-switch"),
    path("schedules/<uuid:pk>/delete", schedule_views.delete, name="schedule-delete"),
    path("<uuid:pk>/compare/", compare_views.compare, name="compare"),
    path("<uuid:pk>/progress", start_views.progress, name="progress"),
    path("<uuid:pk>/cancel", start_views.cancel, name="cancel"),
    path("<uuid:pk>/delete", start_views.delete, name="delete"),
    path("<uuid:pk>/go-on", start_views.go_on, name="go-on"),
    path("<uuid:pk>/", views.run, name="run"),
    path("<uuid:pk>/calls/", views.samples, name="samples"),
    path("<uuid:pk>/report.html", file_views.download, {"kind": "html"}, name="report"),
    path("<uuid:pk>/results.json", file_views.download, {"kind": "json"}, name="json"),
    path("<uuid:pk>/calls.csv", file_views.download, {"kind": "csv"}, name="csv"),
    path("<uuid:pk>/calls.jsonl", file_views.download, {"kind": "jsonl"}, name="jsonl"),
]
