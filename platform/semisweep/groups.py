"""The worker groups of a sweep's slots: started in threads of the driver, kept until it closes them."""

from __future__ import annotations

import tempfile
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from semisweep.request import Resources

END_SECONDS = 10.0


class Groups:
    """Living groups of Ray Train workers, one a slot, by the slot's name."""

    def __init__(
        self, ray: Any, broker: Any, resources: Resources, worker: Mapping[str, float]
    ) -> None:
        self.ray, self.broker, self.resources, self.worker = ray, broker, resources, worker
        self.names: list[str] = []
        self._threads: dict[str, threading.Thread] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="groups-")

    def reserve(self, more: int) -> list[str]:
        """Name further slots and return the names of all."""
        self.names += [f"slot-{uuid.uuid4().hex[:8]}" for _ in range(more)]
        return self.names

    def start(self, name: str) -> None:
        """Start the group of a slot in a thread that waits for its end."""
        thread = threading.Thread(target=self._keep, args=(name,), daemon=True)
        self._threads[name] = thread
        thread.start()

    def close(self) -> None:
        """Let all groups go."""
        for name in self.names:
            self.broker.close.remote(name)
        for thread in self._threads.values():
            thread.join(timeout=END_SECONDS)
        self._scratch.cleanup()

    def _keep(self, name: str) -> None:
        from semisweep.worker import start_group

        error = ""
        try:
            start_group(
                self.broker,
                name,
                self.resources.workers,
                self.worker,
                self._scratch.name,
                autoscaling=self.resources.address is not None,
            )
        except Exception as caught:  # whatever ended the group must end the trial that waits for it
            error = f"the worker group of {name} has ended: {caught}"
        if self.ray.is_initialized():
            self.broker.close.remote(name, error)
