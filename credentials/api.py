"""`/api/v1/users/me/llm-credentials`: a person's own provider keys."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from credentials import services
from credentials.errors import CredentialNotFound
from credentials.models import LLMCredential
from credentials.serializers import CredentialSerializer, CredentialWrite


class CredentialViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[LLMCredential]
):
    """Create, list, read, change and delete one's own credentials; others' are not there."""

    serializer_class = CredentialSerializer
    pagination_class = None
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> QuerySet[LLMCredential]:
        own = LLMCredential.objects.owned_by(self.request.user)
        include_inactive = self.request.query_params.get("include_inactive", "") == "true"
        return own if self.action == "list" and include_inactive else own.active()

    def get_object(self) -> LLMCredential:
        """A foreign id and one that never was answer alike."""
        try:
            return self.get_queryset().get(pk=self.kwargs["pk"])
        except (LLMCredential.DoesNotExist, ValidationError):
            raise CredentialNotFound from None

    def create(self, request: Request) -> Response:
        body = CredentialWrite(data=request.data)
        body.is_valid(raise_exception=True)
        credential = services.add_credential(owner=request.user, **body.validated_data)
        return Response(CredentialSerializer(credential).data, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        credential = self.get_object()
        body = CredentialWrite(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        services.update_credential(credential=credential, **body.validated_data)
        return Response(CredentialSerializer(credential).data)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        services.delete_credential(credential=self.get_object())
        return Response(status=204)
