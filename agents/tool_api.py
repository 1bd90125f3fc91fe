"""`/api/v1/agent/tools` and `/api/v1/agent/tool-servers`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from django.db.models import QuerySet
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import ToolServer
from agents.tool_servers import (
    MAX_TOKEN,
    SERVER_NAME,
    add_tool_server,
    change_tool_server,
    delete_tool_server,
)
from agents.toolbox import functions, remote_tools
from credentials.limits import limit
from credentials.models import Scope


class ToolViewSet(viewsets.ViewSet):
    """The tools of this server: built in, and the operator's."""

    required_scopes: ClassVar = {"read": Scope.AGENTS}

    def list(self, request: Request) -> Response:
        return Response([asdict(each.tool) for each in functions().values()])


class ToolServerSerializer(serializers.ModelSerializer[ToolServer]):
    class Meta:
        model = ToolServer
        fields = ("id", "name", "url", "token_masked", "created_at", "updated_at")
        read_only_fields = fields


class ToolServerWrite(serializers.Serializer[Any]):
    name = serializers.RegexField(SERVER_NAME, max_length=24)
    url = serializers.CharField(max_length=500)
    token = serializers.CharField(
        max_length=MAX_TOKEN + 100, allow_blank=True, write_only=True, default=""
    )


class ToolServerChange(serializers.Serializer[Any]):
    """The name is how sessions call it, so it stays."""

    url = serializers.CharField(max_length=500, required=False)
    token = serializers.CharField(
        max_length=MAX_TOKEN + 100, allow_blank=True, write_only=True, required=False
    )


class ToolServerViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ToolServer],
):
    """A person's own tool servers; `{id}/tools` asks one what it offers. A token goes in and never
    comes out."""

    serializer_class = ToolServerSerializer
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.AGENTS, "write": Scope.AGENTS}

    def get_queryset(self) -> QuerySet[ToolServer]:
        return ToolServer.objects.owned_by(self.request.user).active()

    def create(self, request: Request) -> Response:
        limit("changes of tool servers", request.user.pk)
        body = ToolServerWrite(data=request.data)
        body.is_valid(raise_exception=True)
        server = add_tool_server(owner=request.user, **body.validated_data)
        return Response(ToolServerSerializer(server).data, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        server = self.get_object()
        limit("changes of tool servers", request.user.pk)
        body = ToolServerChange(data=request.data)
        body.is_valid(raise_exception=True)
        changed = change_tool_server(server=server, **body.validated_data)
        return Response(ToolServerSerializer(changed).data)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        delete_tool_server(server=self.get_object())
        return Response(status=204)

    @action(detail=True)
    def tools(self, request: Request, pk: str) -> Response:
        server = self.get_object()
        limit("questions to tool servers", request.user.pk)
        found = async_to_sync(remote_tools)(server)
        return Response([asdict(each.tool) for each in found])
