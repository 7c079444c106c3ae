"""Asking a Prefect server over plain HTTP, with a password and a CSRF token, as its page does."""

import uuid
from typing import Any

import httpx


class Api:
    """A server's API at an address such as http://127.0.0.1:4200. login: user and password."""

    def __init__(self, address: str, login: tuple[str, str]) -> None:
        self._name = str(uuid.uuid4())
        self._token: str | None = None
        # A busy machine is slow, not wrong; a server that starts again answers late.
        self._client = httpx.Client(base_url=f"{address}/api/", auth=login, timeout=600)

    def get(self, path: str) -> Any:
        return self._checked(self._client.get(path))

    def post(self, path: str, body: Any) -> Any:
        return self._checked(self._post(path, body))

    def status(self, path: str, body: Any) -> int:
        """The code of the answer to a change, with the last token that was given."""
        return self._post(path, body).status_code

    def _post(self, path: str, body: Any) -> httpx.Response:
        if self._token is None:
            self._token = self.get(f"csrf-token?client={self._name}")["token"]
        headers = {"Prefect-Csrf-Token": self._token, "Prefect-Csrf-Client": self._name}
        return self._client.post(path, json=body, headers=headers)

    def _checked(self, answer: httpx.Response) -> Any:
        assert answer.is_success, answer.text
        return answer.json()
