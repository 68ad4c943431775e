"""A running S3 server, as tests talk to it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


class ObjectStorage:
    """A running S3 server: a bucket's URL, and faults on request."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "AKIAOFTESTS",
            "AWS_SECRET_ACCESS_KEY": "wJalrSecretOfTests",
            "AWS_REGION": "us-east-1",
        }
        self.stores = 0

    def new(self) -> str:
        """Return the URL of a store that is not there yet, in a bucket of its own."""
        self.stores += 1
        self.ask("PUT", f"tests-{self.stores}")
        return f"s3://tests-{self.stores}/of/semisweep"

    def faults(self, rate: float, seed: int = 0, only: str = "") -> None:
        """Let that share of all later requests be late, refused, or lost after they were done."""
        self.ask("PUT", f"faults?rate={rate}&seed={seed}" + (f"&kinds={only}" if only else ""))

    def ask(self, method: str, path: str) -> Any:
        """Return what the server answers to a request as JSON, None for anything else."""
        request = urllib.request.Request(f"{self.endpoint}/{path}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text.startswith(b"{") else None
