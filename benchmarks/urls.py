from django.urls import path

from benchmarks import file_views, views

app_name = "benchmarks"
urlpatterns = [
    path("", views.runs, name="runs"),
    path("<uuid:pk>/", views.run, name="run"),
    path("<uuid:pk>/calls/", views.samples, name="samples"),
    path("<uuid:pk>/report.html", file_views.report, name="report"),
    path("<uuid:pk>/calls.csv", file_views.export, {"form": "csv"}, name="csv"),
    path("<uuid:pk>/calls.jsonl", file_views.export, {"form": "jsonl"}, name="jsonl"),
]
