"""Customers for locust: each logs in once and then asks for the list, again and again, without a pause.

API_URL, PLATFORM_URL, APP_ID and LIST_PATH say where; `benchmarks.load` sets them.
"""

from __future__ import annotations

import os

import requests
from locust import HttpUser, constant, task


class Customer(HttpUser):
    """Somebody at a till."""

    host = os.environ["API_URL"]
    wait_time = constant(0)

    def on_start(self) -> None:
        """Log in, with a code as tt.login would give it."""
        asked = {"app_id": os.environ["APP_ID"], "customer": "lin"}
        code = requests.post(f"{os.environ['PLATFORM_URL']}/_sandbox/codes", json=asked, timeout=10).json()["code"]
        login = self.client.post("/v1/sessions", json={"app_id": os.environ["APP_ID"], "code": code}, name="login")
        self.client.headers["Authorization"] = f"Bearer {login.json()['token']}"

    @task
    def ask(self) -> None:
        """Ask for the list."""
        self.client.get(os.environ["LIST_PATH"], name="list")
