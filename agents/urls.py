from django.urls import path

from agents import policy_views, views

app_name = "agents"
urlpatterns = [
    path("", views.sessions, name="list"),
    path("new/", views.session_new, name="new"),
    path("policy/", policy_views.policy, name="policy"),
    path("<uuid:pk>/", views.chat, name="chat"),
    path("<uuid:pk>/messages/", views.send, name="send"),
    path("<uuid:pk>/cancel/", views.session_cancel, name="cancel"),
    path("<uuid:pk>/delete/", views.session_delete, name="delete"),
]
