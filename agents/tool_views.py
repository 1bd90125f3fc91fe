"""Pages for one's own tool servers."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from agents.errors import ToolServerFailed, ToolServersClosed
from agents.models import ToolServer
from agents.tool_forms import AddServerForm, ChangeServerForm
from agents.tool_servers import delete_tool_server
from agents.toolbox import remote_tools
from credentials.limits import TooManyRequests, limit
from credentials.vault import Unreadable


@login_required
def servers(request: HttpRequest) -> HttpResponse:
    form = AddServerForm(request.POST or None, owner=request.user)
    if form.is_bound and (added := form.submit()):
        messages.success(request, f"Tool server {added.name} added. See below what it offers.")
        return redirect("agents:tool-server", pk=added.pk)
    context = {
        "servers": ToolServer.objects.owned_by(request.user).active(),
        "form": form,
        "open": settings.CUSTOM_BASE_URLS,
    }
    return render(request, "agents/tool_servers.html", context, status=_status(form))


@login_required
def server(request: HttpRequest, pk: str) -> HttpResponse:
    """GET asks the server what it offers: whoever looks at it wants to know whether it works."""
    found = _own(request, pk)
    form = ChangeServerForm(request.POST or None, server=found)
    if form.is_bound and form.submit():
        messages.success(request, "Saved.")
        return redirect("agents:tool-server", pk=pk)
    context = {"server": found, "form": form, "tools": [], "trouble": ""}
    try:
        limit("questions to tool servers", request.user.pk)
        context["tools"] = [each.tool for each in async_to_sync(remote_tools)(found)]
    except (ToolServerFailed, ToolServersClosed, TooManyRequests, Unreadable) as error:
        context["trouble"] = str(error)
    return render(request, "agents/tool_server.html", context, status=_status(form))


@login_required
@require_POST
def server_delete(request: HttpRequest, pk: str) -> HttpResponse:
    found = _own(request, pk)
    delete_tool_server(server=found)
    messages.success(request, f"Tool server {found.name} deleted, and its token with it.")
    return redirect("agents:tool-servers")


def _own(request: HttpRequest, pk: str) -> ToolServer:
    return get_object_or_404(ToolServer.objects.owned_by(request.user).active(), pk=pk)


def _status(form: AddServerForm | ChangeServerForm) -> int:
    return 422 if form.errors else 200
