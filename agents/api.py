"""`/api/v1/agent/sessions` and their messages."""

from __future__ import annotations

from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from django.db.models import QuerySet
from django.http import HttpResponseBase
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.events import event_stream
from agents.models import AgentSession
from agents.serializers import MessageSerializer, MessageWrite, SessionSerializer, SessionWrite
from agents.services import cancel_turn, change_session, create_session, delete_session
from agents.turns import begin_turn, whole_turn
from credentials.models import AccessToken, Scope
from providers.vocabulary import Image
from usage.models import Surface


class SessionViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[AgentSession],
):
    """Create, list (`?q=` searches), read, change and delete sessions; talk to them at
    `{id}/messages`, stop them at `{id}/cancel`."""

    serializer_class = SessionSerializer
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.AGENTS, "write": Scope.AGENTS}

    def get_queryset(self) -> QuerySet[AgentSession]:
        own = AgentSession.objects.owned_by(self.request.user).select_related("owner", "credential")
        text = self.request.query_params.get("q", "").strip()
        return own.search(text) if text and self.action == "list" else own

    def create(self, request: Request) -> Response:
        body = SessionWrite(data=request.data)
        body.is_valid(raise_exception=True)
        session = create_session(owner=request.user, **body.validated_data)
        return Response(SessionSerializer(session).data, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        session = self.get_object()
        body = SessionWrite(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        changed = change_session(session=session, changes=body.validated_data)
        return Response(SessionSerializer(changed).data)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stops the turn that runs, if one does: 202, else 200."""
        session = self.get_object()
        asked = cancel_turn(session=session)
        session.refresh_from_db()
        return Response(SessionSerializer(session).data, status=202 if asked else 200)

    @action(detail=True, methods=["get", "post"])
    def messages(self, request: Request, pk: str) -> HttpResponseBase:
        """GET: all messages. POST `{"content": …, "stream": false}` and more: one turn."""
        session = self.get_object()
        if request.method == "GET":
            rows = session.messages.select_related("record")
            return Response(MessageSerializer(rows, many=True).data)
        body = MessageWrite(data=request.data)
        body.is_valid(raise_exception=True)
        turn = begin_turn(
            session=session,
            text=body.validated_data["content"],
            surface=Surface.API,
            token=request.auth if isinstance(request.auth, AccessToken) else None,
            images=[Image(**image) for image in body.validated_data["images"]],
            params=body.validated_data["params"],
            fallback=body.validated_data["fallback"],
        )
        if body.validated_data["stream"]:
            return event_stream(turn)
        return Response(async_to_sync(whole_turn)(turn), status=201)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        delete_session(session=self.get_object())
        return Response(status=204)
