from django.urls import path

from credentials import alias_views, audit_views, token_views, views

app_name = "credentials"
urlpatterns = [
    path("", views.credentials_list, name="list"),
    path("add/", views.credential_add, name="add"),
    path("test/", views.unsaved_key_test, name="test-unsaved"),
    path("<uuid:pk>/", views.credential_detail, name="detail"),
    path("<uuid:pk>/rotate/", views.credential_rotate, name="rotate"),
    path("<uuid:pk>/test/", views.credential_test, name="test"),
    path("<uuid:pk>/default/", views.credential_default, name="default"),
    path("<uuid:pk>/delete/", views.credential_delete, name="delete"),
    path("tokens/", token_views.tokens_list, name="tokens"),
    path("tokens/new/", token_views.token_new, name="token-new"),
    path("tokens/<int:pk>/revoke/", token_views.token_revoke, name="token-revoke"),
    path("aliases/", alias_views.aliases_list, name="aliases"),
    path("aliases/new/", alias_views.alias_new, name="alias-new"),
    path("aliases/<uuid:pk>/", alias_views.alias_edit, name="alias-edit"),
    path("aliases/<uuid:pk>/delete/", alias_views.alias_delete, name="alias-delete"),
    path("trail/", audit_views.trail_page, name="trail"),
]
