from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        from django.contrib.auth import get_user_model

        from agents.models import SelectionPolicy
        from credentials.models import AccessToken, LLMCredential, ModelAlias
        from gateway.selection import MEMORIES
        from usage.memory import forget_on_change

        models = [get_user_model(), AccessToken, LLMCredential, ModelAlias, SelectionPolicy]
        forget_on_change(MEMORIES, models)
