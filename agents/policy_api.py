"""`/api/v1/users/me/policy`: whose keys may pay for one's own calls."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.models import Policy, SelectionPolicy
from agents.policy import payers
from credentials.models import Scope


class PolicyWrite(serializers.Serializer[SelectionPolicy]):
    policy = serializers.ChoiceField(Policy.choices, allow_blank=True)


class PolicyView(APIView):
    """GET what is in force, PUT one's own choice. Staff's word and the server's stay above it."""

    required_scopes: ClassVar = {
        "read": Scope.CREDENTIALS_READ,
        "write": Scope.CREDENTIALS_WRITE,
    }

    def get(self, request: Request) -> Response:
        return Response(_body(request.user))

    def put(self, request: Request) -> Response:
        body = PolicyWrite(data=request.data)
        body.is_valid(raise_exception=True)
        SelectionPolicy.choose(request.user, body.validated_data["policy"])
        return Response(_body(request.user))


def _body(user: Any) -> dict[str, Any]:
    own = SelectionPolicy.of(user)
    return {
        "policy": own.policy,
        "system_key_forbidden": own.system_key_forbidden,
        "may_pay": sorted(payers(user)),
    }
