"""Simulated customers for locust: each logs in once, then requests the list without a pause.

`benchmarks.load` sets API_URL, PLATFORM_URL, APP_ID, CUSTOMER and LIST_PATH.
"""

from __future__ import annotations

import os

import requests
from locust import HttpUser, constant, task


class Customer(HttpUser):
    """A customer in a store."""

    host = os.environ["API_URL"]
    wait_time = constant(0)

    def on_start(self) -> None:
        """Log in."""
        app_id = os.environ["APP_ID"]
        code_request = {"app_id": app_id, "customer": os.environ["CUSTOMER"]}
        response = requests.post(f"{os.environ['PLATFORM_URL']}/_sandbox/codes", json=code_request, timeout=10)
        code = response.json()["code"]
        login = self.client.post("/v1/sessions", json={"app_id": app_id, "code": code}, name="login")
        self.client.headers["Authorization"] = f"Bearer {login.json()['token']}"

    @task
    def request_list(self) -> None:
        """Request the list of certificates."""
        self.client.get(os.environ["LIST_PATH"], name="list")
