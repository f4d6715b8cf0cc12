# tubelet serve, without root. Build: docker build -t tubelet . (compose.yaml runs it)
# --build-arg TORCH_INDEX=... takes torch from another index, of its builds for CPUs alone for instance: 1 GB instead of 8.
FROM python:3.12-slim AS build
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/tubelet
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
RUN /opt/tubelet/bin/pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt ".[serve]"

FROM python:3.12-slim
COPY --from=build /opt/tubelet /opt/tubelet
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tubelet
ENV PATH=/opt/tubelet/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1
USER 10001
EXPOSE 8000
# Every route asks for the key; without one the service does not listen on more than this container.
HEALTHCHECK --interval=30s --start-period=60s CMD ["python", "-c", "import os, pathlib, urllib.request as u; p = pathlib.Path('/run/secrets/key'); k = p.read_text().strip() if p.exists() else os.environ.get('TUBELET_SERVE_KEY', ''); u.urlopen(u.Request('http://127.0.0.1:8000/readyz', headers={'Authorization': 'Bearer ' + k}), timeout=5)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tubelet", "serve"]
