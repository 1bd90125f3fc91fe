from django.urls import path

from credentials import views

app_name = "credentials"
urlpatterns = [
    path("", views.credentials_list, name="list"),
    path("add/", views.credential_add, name="add"),
    path("<uuid:pk>/default/", views.credential_default, name="default"),
    path("<uuid:pk>/delete/", views.credential_delete, name="delete"),
]
