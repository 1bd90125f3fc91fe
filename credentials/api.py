"""`/api/v1/users/me/llm-credentials`: a person's own provider keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from credentials import services
from credentials.errors import CredentialNotFound
from credentials.limits import limit
from credentials.models import LLMCredential, Scope
from credentials.serializers import CredentialSerializer, CredentialWrite, KeyToTest
from credentials.trail import Action, record
from credentials.validation import Validation


class CredentialViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[LLMCredential]
):
    """Create, list, read, test, change and delete one's own credentials; others' are not there."""

    serializer_class = CredentialSerializer
    pagination_class = None
    lookup_value_regex = "[^/]+"
    required_scopes: ClassVar = {
        "read": Scope.CREDENTIALS_READ,
        "write": Scope.CREDENTIALS_WRITE,
    }

    def get_queryset(self) -> QuerySet[LLMCredential]:
        own = LLMCredential.objects.owned_by(self.request.user)
        include_inactive = self.request.query_params.get("include_inactive", "") == "true"
        return own if self.action == "list" and include_inactive else own.active()

    def get_object(self) -> LLMCredential:
        """A foreign id and one that never was answer alike."""
        try:
            return self.get_queryset().select_related("owner").get(pk=self.kwargs["pk"])
        except (LLMCredential.DoesNotExist, ValidationError):
            raise CredentialNotFound from None

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        limit("looks at single keys", request.user.pk)
        credential = self.get_object()
        record(Action.READ, credential)
        return Response(CredentialSerializer(credential).data)

    def create(self, request: Request) -> Response:
        limit("changes of keys", request.user.pk)
        body = CredentialWrite(data=request.data)
        body.is_valid(raise_exception=True)
        if body.validated_data.get("validate"):
            limit("tests of keys", request.user.pk)
        credential = services.add_credential(owner=request.user, **body.validated_data)
        return Response(CredentialSerializer(credential).data, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        limit("changes of keys", request.user.pk)
        credential = self.get_object()
        body = CredentialWrite(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        self._apply(credential, body.validated_data)
        return Response(CredentialSerializer(credential).data)

    def _apply(self, credential: LLMCredential, changes: dict[str, Any]) -> None:
        """A new key is a rotation, the rest are plain changes."""
        make_default = changes.pop("is_default", None)
        validate = changes.pop("validate", True)
        if (key := changes.pop("api_key", None)) is not None:
            if validate:
                limit("tests of keys", self.request.user.pk)
            services.rotate_key(
                credential=credential,
                api_key=key,
                base_url=changes.pop("base_url", None),
                validate=validate,
            )
        if make_default is False:
            changes["is_default"] = False
        if changes:
            services.update_credential(credential=credential, **changes)
        if make_default:
            services.set_default(credential=credential)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        limit("changes of keys", request.user.pk)
        services.delete_credential(credential=self.get_object())
        return Response(status=204)

    @action(detail=True, methods=["put"])
    def default(self, request: Request, pk: str) -> Response:
        limit("changes of keys", request.user.pk)
        credential = services.set_default(credential=self.get_object())
        return Response(CredentialSerializer(credential).data)

    @action(detail=True, methods=["post"], url_path="validate")
    def validate_one(self, request: Request, pk: str) -> Response:
        """Tests a stored key. 503 where the provider can't be reached."""
        limit("tests of keys", request.user.pk)
        return Response(_body(services.validate_credential(credential=self.get_object())))

    @action(detail=False, methods=["post"], url_path="validate")
    def validate_unsaved(self, request: Request) -> Response:
        """Tests a key that is not stored, and does not become so."""
        limit("tests of keys", request.user.pk)
        body = KeyToTest(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(
            _body(services.validate_unsaved_key(owner=request.user, **body.validated_data))
        )


def _body(test: Validation) -> dict[str, Any]:
    return asdict(test)
