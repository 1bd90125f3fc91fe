"""What each official SDK can do at the gateway, on each provider's models: one table."""
