"""`tubelet serve`: a model as a service, with a page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tubelet.cli.arguments import CommonOptions, load_model, require_source, warn_of_unfinished
from tubelet.cli.output import Output
from tubelet.errors import ConfigError

KEY = "TUBELET_SERVE_KEY"

NEEDED = ("fastapi", "uvicorn", "httptools", "websockets", "python_multipart")


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Answer over HTTP what is in a video, when, and why; with a page for browsers.

    It listens on this machine alone, and opens no address but those of --allow-url. Ctrl-C or SIGTERM ends it, when all
    requests that it has let in are answered.

    Attributes:
        models: runs, model folders, checkpoints or Hub ids; NAME=MODEL names one. The first is the default.
        host: address to listen on; one that others reach needs a key.
        port: 0 takes a free one.
        key_file: a file with the key that every request has to show; or the variable TUBELET_SERVE_KEY.
        allow_host: names under which it may be asked, besides its address: those of a proxy before it, for instance.
        allow_url: hosts whose https addresses it fetches for clients (?url=https://HOST/...); none by default.
        batch: clips of several requests in one forward pass at most; with 1 answers are those of `tubelet predict` to
            the last bit, otherwise to 1e-5.
        delay: milliseconds that a batch waits for others, while there are any.
        capacity: requests that are worked on or wait at most; more are refused (429).
        deadline: seconds after which a request is given up (503).
        decoders: processes that decode; 0 stands for one for each core, at least 2.
        upload_mb: megabytes of a video at most.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
    """

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL [MODEL ...]")]
    host: str = "127.0.0.1"
    port: int = 8000
    key_file: Path | None = None
    allow_host: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    allow_url: Annotated[tuple[str, ...], tyro.conf.arg(metavar="HOST ...")] = ()
    batch: int = 8
    delay: float = 5.0
    capacity: int = 64
    deadline: float = 60.0
    decoders: int = 0
    upload_mb: int = 512
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"


def run(options: Options, output: Output) -> int:
    """Load, and serve until a signal."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"tubelet serve needs {', '.join(missing)}: pip install 'tubelet[serve]'")
    sources = _named(options.models)
    for source in sources.values():
        require_source(source)
    key = _key(options.key_file)
    from tubelet.serving.served import ServedModel
    from tubelet.serving.server import serve
    from tubelet.serving.settings import Settings

    settings = Settings(
        host=options.host,
        port=options.port,
        key=key,
        hosts=options.allow_host,
        url_hosts=tuple(host.lower() for host in options.allow_url),
        upload_bytes=options.upload_mb * 10**6,
        capacity=options.capacity,
        deadline=options.deadline,
        batch=options.batch,
        delay=options.delay / 1000,
        decoders=options.decoders,
    )
    models = []
    for name, source in sources.items():
        warn_of_unfinished(source, output)
        loaded = load_model(source, output)
        models.append(ServedModel(name, loaded, device=options.device, precision=options.precision))

    def listening(address: str) -> None:
        if not output.as_json:
            output.console.print(f"{', '.join(sources)}: {address}", soft_wrap=True)
        output.data({"address": address, "models": list(sources)})

    serve(models, settings, listening, quiet=output.quiet)
    return 0


def _named(models: tuple[str, ...]) -> dict[str, str]:
    """Sources by name: NAME=MODEL, or the last part of the path."""
    if not models:
        raise ConfigError("no model was named: tubelet serve MODEL [MODEL ...]")
    named: dict[str, str] = {}
    for word in models:
        name, equals, source = word.partition("=")
        if not equals or os.path.exists(word):
            name, source = Path(word).resolve().stem if os.path.exists(word) else word.rpartition("/")[2], word
        if not name or name in named:
            raise ConfigError(f"two models are called {name!r}; name one: tubelet serve {word} other={source}")
        named[name] = source
    return named


def _key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(KEY) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--key-file {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
