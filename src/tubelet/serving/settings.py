"""How a service runs: where it listens, who may ask, and how much it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from tubelet.device import usable_cores
from tubelet.errors import ConfigError
from tubelet.video import Limits
from tubelet.video.guarded import Bounds


@dataclass(frozen=True)
class Settings:
    """Of a service.

    Attributes:
        host: address to listen on.
        port: 0 takes a free one.
        key: that every request has to show; None lets everyone ask who reaches the address.
        hosts: names under which the service may be asked, besides `host`, `localhost` and loopback addresses.
        url_hosts: HOST or HOST:PORT whose https addresses are fetched for clients (`?url=`); none by default.
        upload_bytes: of a request at most.
        upload_seconds: for a whole upload; half of it may pass without a byte.
        capacity: requests that are worked on or wait at most; more are refused (429).
        deadline: seconds that a request may take after its upload; later it is refused (503).
        decoders: guarded processes; 0 stands for one for each core, at least 2.
        sessions: timelines and cameras at once; 0 stands for one less than `decoders`, so that uploads find one.
        batch: clips of several requests in one forward pass at most; 1 computes each request as `tubelet.predict` does,
            to the last bit.
        delay: seconds that a batch waits for others, while there are any.
        limits: of the frames of a video.
        bounds: of a guarded process.

    Raises:
        ConfigError: numbers that make no sense, or an address that others reach without a key.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    url_hosts: tuple[str, ...] = ()
    upload_bytes: int = 512 * 2**20
    upload_seconds: int | float = 120
    capacity: int = 64
    deadline: int | float = 60
    decoders: int = 0
    sessions: int = 0
    batch: int = 8
    delay: int | float = 0.005
    limits: Limits = field(default_factory=lambda: Limits(frame_pixels=2**25, clip_bytes=2**30, seconds=30))
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not self.decoders:
            object.__setattr__(self, "decoders", max(2, usable_cores()))
        if not self.sessions:
            object.__setattr__(self, "sessions", max(1, self.decoders - 1))
        counts = ("upload_bytes", "capacity", "decoders", "sessions", "batch")
        wrong = [f"{name}={getattr(self, name)}" for name in counts if getattr(self, name) < 1]
        wrong += [
            f"{name}={getattr(self, name)}" for name in ("upload_seconds", "deadline") if getattr(self, name) <= 0
        ]
        if wrong or self.delay < 0:
            raise ConfigError(f"{', '.join(wrong) or f'delay={self.delay}'}: expected numbers above 0")
        if self.sessions >= self.decoders:
            raise ConfigError(f"sessions={self.sessions} must be below decoders={self.decoders}, or uploads would wait")
        if self.key is not None and (len(self.key) < 8 or not self.key.isascii() or not self.key.isprintable()):
            raise ConfigError("a key has at least 8 characters, of ASCII; `openssl rand -hex 16` makes one")
        if self.key is None and not is_loopback(self.host):
            raise ConfigError(
                f"host={self.host!r} can be reached by others, who would need no key; set one (--key-file, or the "
                "variable TUBELET_SERVE_KEY), or listen on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
