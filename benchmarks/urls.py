from django.urls import path

from benchmarks import views

app_name = "benchmarks"
urlpatterns = [
    path("", views.runs, name="runs"),
    path("<uuid:pk>/", views.run, name="run"),
]
