from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        from django.contrib.auth import get_user_model

        from agents.models import SelectionPolicy
        from credentials.models import AccessToken, LLMCredential, ModelAlias
        from gateway.selection import MEMORIES
        from usage.memory import forget_on_change

        notes = ("last_used_at", "last_validated_at", "last_error", "reminded_days", "updated_at")
        forget_on_change(MEMORIES, [ModelAlias, SelectionPolicy])
        forget_on_change(MEMORIES, [get_user_model()], but=frozenset({"last_login"}))
        forget_on_change(MEMORIES, [AccessToken], but=frozenset({"last_used_at"}))
        forget_on_change(MEMORIES, [LLMCredential], but=frozenset(notes))
