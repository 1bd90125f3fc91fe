"""What an access token may be used for, of all that its person may do.

A view of the API declares the scope of its reads and of its writes:

    required_scopes = {"read": Scope.CREDENTIALS_READ, "write": Scope.CREDENTIALS_WRITE}

What is not declared is refused to tokens, so that a new view is closed until somebody thinks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from credentials.errors import CredentialError
from credentials.models import AccessToken, Scope

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports the default permissions


class TokensNotAccepted(CredentialError):
    """Access tokens are not accepted here. Sign in instead."""

    status = 403
    code = "scope_needed"


class HasScope(BasePermission):
    """People who signed in with a session may do all that is theirs; their tokens may not."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True, or raises ScopeNeeded or TokensNotAccepted."""
        if request.auth is None or not hasattr(view, str(request.method).lower()):
            return True  # a session; or a method that the view has not, which is a 405
        scope = required_scope(view, str(request.method))
        if scope is None or not isinstance(request.auth, AccessToken):
            raise TokensNotAccepted
        request.auth.ensure_scope(scope)
        return True


def required_scope(view: Any, method: str) -> Scope | None:
    """The scope that a view (or its class) declares for a method, if it does."""
    declared: dict[str, Scope | None] = getattr(view, "required_scopes", {})
    return declared.get("read" if method in SAFE_METHODS else "write")
