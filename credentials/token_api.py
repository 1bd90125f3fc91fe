"""`/api/v1/users/me/access-tokens`: what a person's programs sign in with."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credentials import tokens
from credentials.access_tokens import LONGEST_CACHE
from credentials.models import AccessToken, Scope


class TokenSerializer(serializers.ModelSerializer[AccessToken]):
    """The body of an answer; the token itself is in that of POST only."""

    state = serializers.CharField(read_only=True)

    class Meta:
        model = AccessToken
        fields = (
            "id", "name", "prefix", "scopes", "credential_id", "cache_seconds", "state",
            "expires_at", "last_used_at", "revoked_at", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class TokenWrite(serializers.Serializer[AccessToken]):
    """The body of POST. Whether scopes, expiry and credential may be had is the service's."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=80), required=False, max_length=50
    )
    credential_id = serializers.UUIDField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    cache_seconds = serializers.IntegerField(required=False, min_value=0, max_value=LONGEST_CACHE)


class AccessTokenViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AccessToken]
):
    """Make, list, read and revoke one's own access tokens; others' are not there."""

    serializer_class = TokenSerializer
    pagination_class = None
    lookup_value_regex = "[^/]+"
    required_scopes: ClassVar = {
        "read": Scope.CREDENTIALS_READ,
        "write": Scope.CREDENTIALS_WRITE,
    }

    def get_queryset(self) -> QuerySet[AccessToken]:
        return AccessToken.objects.owned_by(self.request.user)

    def create(self, request: Request) -> Response:
        body = TokenWrite(data=request.data)
        body.is_valid(raise_exception=True)
        maker = request.auth if isinstance(request.auth, AccessToken) else None
        row, token = tokens.create_token(user=request.user, made_by=maker, **body.validated_data)
        answer = {**TokenSerializer(row).data, "token": token}
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Revokes it; the row stays, for the list and the books."""
        tokens.revoke_token(token=self.get_object())
        return Response(status=204)
