"""A service with a tiny model, on a port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
import uvicorn

from tiny import day_and_night
from tubelet import write_video
from tubelet.model import ViViT
from tubelet.serving.app import create_app
from tubelet.serving.served import ServedModel
from tubelet.serving.service import Service
from tubelet.serving.settings import Settings
from tubelet.video.guarded import Bounds

BOUNDS = Bounds(memory=2**30, cpu_seconds=5, seconds=6)


class Running:
    """A service and a client of it."""

    def __init__(self, client: httpx.Client, service: Service) -> None:
        self.client, self.service = client, service
        self.address = str(client.base_url).rstrip("/")

    def post(self, path: str, content: Any, **parameters: Any) -> httpx.Response:
        return self.client.post(path, content=content, params=parameters)


@contextmanager
def running(model: ViViT | None = None, **settings: Any) -> Iterator[Running]:
    """A service in a thread, ready."""
    chosen = Settings(port=0, bounds=BOUNDS, **{"decoders": 2, **settings})
    app = create_app([ServedModel("tiny", model or day_and_night())], chosen)
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=0, log_config=None, http="httptools", loop="asyncio", ws="websockets-sansio", lifespan="on"
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {} if chosen.key is None else {"Authorization": f"Bearer {chosen.key}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            while client.get("/readyz").status_code != 200:
                time.sleep(0.05)
            yield Running(client, app.state.service)
    finally:
        server.should_exit = True
        thread.join()


def write_day(path: Path, levels: list[int]) -> Path:
    frames = torch.stack([torch.full((3, 24, 32), level, dtype=torch.uint8) for level in levels])
    return write_video(path, frames, 10.0)
