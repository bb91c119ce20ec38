"""Alerts: when one fires (conditions), that it is told once (book), where it goes to (delivery, secrets), and the sign of life to
an outside address (heartbeat)."""
