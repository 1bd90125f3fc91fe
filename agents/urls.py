from django.urls import path

from agents import policy_views, tool_views, views

app_name = "agents"
urlpatterns = [
    path("", views.sessions, name="list"),
    path("new/", views.session_new, name="new"),
    path("models/", views.offered_models, name="models"),
    path("policy/", policy_views.policy, name="policy"),
    path("tool-servers/", tool_views.servers, name="tool-servers"),
    path("tool-servers/<uuid:pk>/", tool_views.server, name="tool-server"),
    path("tool-servers/<uuid:pk>/delete/", tool_views.server_delete, name="tool-server-delete"),
    path("<uuid:pk>/", views.chat, name="chat"),
    path("<uuid:pk>/messages/", views.send, name="send"),
    path("<uuid:pk>/change/", views.session_change, name="change"),
    path("<uuid:pk>/cancel/", views.session_cancel, name="cancel"),
    path("<uuid:pk>/delete/", views.session_delete, name="delete"),
]
