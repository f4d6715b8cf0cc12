"""Decoding on other machines than the model: decoders connect to a worker and are given one video after the other.

    worker    listens; sends what all videos need, then a video to whoever is idle
    decoder   connects, again and again; answers with the views, or why there are none

A decoder holds one video and a worker some more than it has decoders, so that memory is bounded on both sides. What a
lost decoder had is given to another one.
"""

from __future__ import annotations

import queue
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Literal

import torch

from tubelet.config import PreprocessingConfig
from tubelet.corpus.decoding import Decoded, GuardedDecoder
from tubelet.corpus.sources import Video
from tubelet.errors import WorkerError
from tubelet.provenance import Provenance

Decode = Literal["here", "apart"]
"""Where videos are decoded: beside the model, or on any machine."""

LOSSES = 3
"""After so many lost decoders a video is `crashed`."""

ARRIVAL = 300.0
"""Seconds without any decoder after which a worker gives up."""

SILENCE = 300.0
"""Seconds without an answer, beyond those that decoding may take, after which a decoder counts as lost."""

LOST = "three decoders were lost with it, each with its process or its machine"


@dataclass(frozen=True)
class Address:
    """Where a worker listens.

    Attributes:
        host: of its machine.
        port: free when the address was made.
        key: that decoders show; nobody else is spoken to.
    """

    host: str
    port: int
    key: bytes

    @classmethod
    def on(cls, host: str) -> Address:
        """A new one on this machine."""
        with socket.socket() as free:
            free.bind((host, 0))
            return cls(host, free.getsockname()[1], secrets.token_bytes(32))


class ApartDecoder:
    """Has videos decoded by those who connect. Several threads may call at once.

    Args:
        config: how videos are preprocessed.
        views: (clips, crops).
        seconds: that a video may take.
        address: to listen at.
        provenance: of the model, to say what it learned from.
    """

    def __init__(
        self,
        config: PreprocessingConfig,
        views: tuple[int, int],
        seconds: float,
        address: Address,
        provenance: Provenance | None = None,
    ) -> None:
        self._settings = (config, views, seconds, 1, provenance)
        self._patience = SILENCE + 2 * seconds
        self._listener = Listener((address.host, address.port), backlog=256, authkey=address.key)
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._there = 0
        threading.Thread(target=self._welcome, daemon=True).start()

    def __call__(self, video: Video) -> Decoded:
        """Have a video decoded; see `GuardedDecoder`.

        Raises:
            WorkerError: no decoder is there.
        """
        for _ in range(LOSSES):
            decoder = self._take()
            try:
                decoder.send(video)
                if not decoder.poll(self._patience):
                    raise TimeoutError
                decoded = _unpacked(decoder.recv())
            except (EOFError, OSError):
                self._there -= 1
                decoder.close()
                continue
            self._idle.put(decoder)
            return decoded
        return Decoded(status="crashed", reason=LOST)

    def close(self) -> None:
        """Listen no more. Decoders notice when the process ends."""
        self._listener.close()

    def _take(self) -> Connection:
        while True:
            try:
                return self._idle.get(timeout=ARRIVAL)
            except queue.Empty:
                if self._there < 1:
                    raise WorkerError(
                        f"no decoder came for {ARRIVAL:.0f} s: the cluster has no free core for one, or none can "
                        "connect to the machine of the model; see `ray status`"
                    ) from None

    def _welcome(self) -> None:
        while True:
            try:
                decoder = self._listener.accept()
                decoder.send(self._settings)
            except (AuthenticationError, EOFError, ConnectionError):  # a stranger, or one that left at once
                continue
            except OSError:  # closed
                return
            self._there += 1
            self._idle.put(decoder)


def decode_for(address: Address) -> None:
    """Decode for the worker at an address, and for the next one there when that has ended. Does not return."""
    while True:
        try:
            with Client((address.host, address.port), authkey=address.key) as worker:
                decoder = GuardedDecoder(*worker.recv())
                try:
                    while True:
                        worker.send(_packed(decoder(worker.recv())))
                finally:
                    decoder.close()
        except (AuthenticationError, EOFError, OSError):  # it loads its model yet, or is started again
            time.sleep(0.5)


def _packed(decoded: Decoded) -> dict[str, Any]:
    """With arrays: tensors are sent as handles of this machine's memory."""
    tensors = {"views": decoded.views, "frame_mask": decoded.frame_mask}
    return {**vars(decoded), **{name: None if one is None else one.numpy() for name, one in tensors.items()}}


def _unpacked(fields: dict[str, Any]) -> Decoded:
    arrays = {name: fields[name] for name in ("views", "frame_mask")}
    return Decoded(**fields | {name: None if one is None else torch.from_numpy(one) for name, one in arrays.items()})
