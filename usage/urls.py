from django.urls import path

from usage import views

app_name = "usage"
urlpatterns = [
    path("", views.usage, name="usage"),
    path("records/", views.records, name="records"),
    path("records/<uuid:pk>/", views.record, name="record"),
    path("export.csv", views.export, {"form": "csv"}, name="export-csv"),
    path("export.jsonl", views.export, {"form": "jsonl"}, name="export-jsonl"),
]
