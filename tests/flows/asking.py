"""Asking a Prefect server over plain HTTP, with a password and a CSRF token, as its page does."""

import uuid
from typing import Any

import httpx


class Api:
    """A server's API at an address such as http://127.0.0.1:4200. login: user and password."""

    def __init__(self, address: str, login: tuple[str, str]) -> None:
        self._name = str(uuid.uuid4())
        # A busy machine is slow, not wrong; a server that starts again answers late.
        self._client = httpx.Client(base_url=f"{address}/api/", auth=login, timeout=600)

    def get(self, path: str) -> Any:
        return self._checked(self._client.get(path))

    def post(self, path: str, body: Any) -> Any:
        token = self.get(f"csrf-token?client={self._name}")["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": self._name}
        return self._checked(self._client.post(path, json=body, headers=headers))

    def _checked(self, answer: httpx.Response) -> Any:
        assert answer.is_success, answer.text
        return answer.json()
