"""The Hugging Face Hub, played by a small server on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import disable_progress_bars

from tubelet.cli.main import main
from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import WeightsError
from tubelet.model import ViViT
from tubelet.provenance import KnownVideo, Provenance
from tubelet.weights import from_pretrained, load
from tubelet.weights.hf_vivit import save_hf_vivit
from tubelet.weights.hub import download, push_to_hub
from tubelet.weights.image_vit_read import read_image_vit
from tubelet.weights.native import load_native, save
from tubelet.weights.tensor_files import load_tensors, save_tensors

COMMIT = "c" * 40


class Hub(ThreadingHTTPServer):
    """Repositories in memory: name to files. `private` ones answer 401, `broken` ones 500."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.broken: set[str] = set()
        self.asked_for: list[str] = []
        self.created: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests are quiet."""

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answer(status, json.dumps(data).encode(), {"Content-Type": "application/json", **(headers or {})})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/([^/]+)|/tree/[^/]+)?", path):
            return self.describe(found[1], found[2] or "", found[3])
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            files = self.server.repositories[found[1]]
            self.server.asked_for.append(found[2])
            etag = hashlib.sha1(files[found[2]]).hexdigest()
            return self.answer(200, files[found[2]], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        return self.answer_json({"error": "not found"}, 404)

    def describe(self, name: str, what: str, revision: str | None) -> None:
        if name in self.server.broken:
            return self.answer_json({"error": "out of order"}, 500)
        if name in self.server.private or name not in self.server.repositories:
            return self.answer_json({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
        if revision not in (None, "main", COMMIT):
            return self.answer_json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        files = self.server.repositories[name]
        if what.startswith("/tree"):
            sha1 = {path: hashlib.sha1(content).hexdigest() for path, content in files.items()}
            return self.answer_json(
                [{"type": "file", "path": path, "size": len(files[path]), "oid": sha1[path]} for path in files]
            )
        siblings = [{"rfilename": path} for path in files]
        return self.answer_json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        if self.headers.get("Authorization") is None:
            return self.answer_json({"error": "Unauthorized"}, 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.server.created.append(asked)
            self.server.repositories.setdefault(name, {})
            return self.answer_json({"url": f"http://{self.headers['Host']}/{name}", "id": name, "name": name})
        if path == "/api/validate-yaml":
            return self.answer_json({"errors": [], "warnings": []})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/[^/]+", path):
            asked_files = json.loads(body)["files"]
            modes = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked_files]
            return self.answer_json({"files": modes})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/[^/]+", path):
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.repositories[found[1]][entry["value"]["path"]] = content
            url = f"http://{self.headers['Host']}/{found[1]}/commit/{COMMIT}"
            return self.answer_json({"success": True, "commitOid": COMMIT, "commitUrl": url})
        return self.answer_json({"error": "not found"}, 404)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    point_at(monkeypatch, tmp_path, server.server_address[1])
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def point_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: int) -> None:
    here = partial(HfApi, endpoint=f"http://127.0.0.1:{port}")
    monkeypatch.setattr("tubelet.weights.hub.HfApi", here)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    disable_progress_bars()


@pytest.fixture
def model() -> ViViT:
    sizes = {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16, "num_classes": 3}
    config = ModelConfig(**sizes, image_size=16, num_frames=4, tubelet_size=(2, 8, 8))
    return ViViT(config, PreprocessingConfig(num_frames=4), {"label": ["wave", "clap", "jump"]}).eval()


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def same(one: ViViT, other: ViViT) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_pushed_model_comes_back_with_its_labels_and_preprocessing(hub: Hub, model: ViViT) -> None:
    url = push_to_hub(model, "me/waves", token="hf_test", private=True, licence="apache-2.0")
    assert url.endswith(f"/me/waves/commit/{COMMIT}")
    assert set(hub.repositories["me/waves"]) == {"config.json", "model.safetensors", "README.md"}
    assert hub.created[0].get("private") is True or hub.created[0].get("visibility") == "private"
    again = from_pretrained("me/waves")
    assert same(again, model)
    assert again.labels == model.labels
    assert load("me/waves", num_classes=7).config.num_classes == 7
    assert again.preprocessing == model.preprocessing


def test_a_model_in_a_wrapper_is_pushed(hub: Hub, model: ViViT) -> None:
    push_to_hub(torch.nn.DataParallel(model), "me/wrapped", token="hf_test")
    assert same(from_pretrained("me/wrapped"), model)


def test_a_run_is_pushed_with_its_figures_and_without_its_paths(hub: Hub, model: ViViT, tmp_path: Path) -> None:
    run = tmp_path / "run"
    save(model, run)
    head = {"top1": 0.875, "top5": None, "num_videos": 40}
    evaluation = {"metrics": {"label": head}, "joint": None, "views": [4, 3], "num_videos": 40, "failures": []}
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    settings = {"training": {"optimisation": {"learning_rate": 0.001, "epochs": 7}}, "data": "/home/me/secret"}
    (run / "run.json").write_text(json.dumps(settings))
    (run / "splits.csv").write_text("path,split\n/home/me/secret/a.mp4,train\n")
    push_to_hub(run, "me/waves", token="hf_test")
    assert set(hub.repositories["me/waves"]) == {"config.json", "model.safetensors", "README.md"}
    card = hub.repositories["me/waves"]["README.md"].decode()
    assert "87.5%" in card
    assert "4 x 3 views" in card
    assert "| epochs | 7 |" in card
    assert "secret" not in card


def test_one_pattern_of_unexpected_tensors_is_a_pattern_not_its_letters(hub: Hub, model: ViViT, tmp_path: Path) -> None:
    save(model, tmp_path / "model")
    tensors, metadata = load_tensors(tmp_path / "model" / "model.safetensors")
    save_tensors({**tensors, "ema.x": torch.zeros(1)}, tmp_path / "model" / "model.safetensors", metadata)
    hub.repositories["me/ema"] = files_of(tmp_path / "model")
    assert from_pretrained("me/ema", allow_unexpected="ema.*").load_report.names("unused") == ["ema.x"]
    with pytest.raises(WeightsError, match=r"ema\.x is not expected"):
        from_pretrained("me/ema", allow_unexpected="head.*")


def test_what_a_run_learned_from_is_pushed_as_fingerprints(hub: Hub, model: ViViT, tmp_path: Path) -> None:
    video = KnownVideo("run", "learned", "train", "/home/me/secret/a.mp4", "00ff")
    model.provenance = Provenance((video,), unknown=("/home/me/secret/vit.npz",))
    save(model, tmp_path / "run")
    push_to_hub(tmp_path / "run", "me/known", token="hf_test")
    assert b"secret" not in hub.repositories["me/known"]["provenance.csv"]
    known = from_pretrained("me/known").provenance
    assert known is not None
    assert [(one.use, one.content, one.path) for one in known.videos] == [("learned", "00ff", "")]
    assert known.unknown == ("vit.npz",)


def test_only_configurations_and_weights_are_downloaded(hub: Hub, model: ViViT, tmp_path: Path) -> None:
    save_hf_vivit(model, tmp_path / "theirs")
    others = {
        "train.py": b"import os",
        "pytorch_model.bin": b"pickle",
        "training_args.bin": b"pickle",
        "README.md": b"",
    }
    others["checkpoints/last/model.safetensors"] = b"large"
    hub.repositories["them/vivit"] = {**files_of(tmp_path / "theirs"), **others}
    folder = download("them/vivit")
    assert sorted(set(hub.asked_for)) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(set(hub.asked_for))
    assert same(from_pretrained("them/vivit"), model)


def test_pickled_weights_are_downloaded_where_there_are_no_others(hub: Hub) -> None:
    hub.repositories["them/old"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle", "optimizer.bin": b"pickle"}
    assert (download("them/old") / "pytorch_model.bin").read_bytes() == b"pickle"
    assert "optimizer.bin" not in hub.asked_for


def test_a_repository_without_weights_is_named(hub: Hub) -> None:
    hub.repositories["them/words"] = {"config.json": b"{}", "README.md": b""}
    with pytest.raises(WeightsError, match=r"^them/words on the Hugging Face Hub has neither model.safetensors nor"):
        download("them/words")


@pytest.mark.parametrize(
    ("name", "revision", "sentence"),
    [
        ("them/missing", None, "the Hugging Face Hub has no model them/missing that you may load; if it is private"),
        ("them/private", None, "the Hugging Face Hub has no model them/private that you may load; if it is private"),
        ("them/vivit", "v9", "them/vivit on the Hugging Face Hub has no branch, tag or commit 'v9'"),
        ("not a name", None, "'not a name' is neither a folder here nor a name on the Hugging Face Hub"),
        ("a/b/c", None, "'a/b/c' is neither a folder here nor a name on the Hugging Face Hub"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(hub: Hub, name: str, revision: str | None, sentence: str) -> None:
    hub.repositories["them/vivit"] = {"config.json": b"{}"}
    hub.private.add("them/private")
    with pytest.raises(WeightsError) as caught:
        from_pretrained(name, revision=revision)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_one_sentence_and_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: ViViT
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    server.server_close()  # nobody listens there now
    point_at(monkeypatch, tmp_path, port)
    began = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        download("google/vivit-b-16x2-kinetics400")
    assert "google/vivit-b-16x2-kinetics400 is not in the cache and the Hugging Face Hub cannot be" in str(caught.value)
    assert "hf download google/vivit-b-16x2-kinetics400 --local-dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"^cannot upload me/waves: the Hugging Face Hub cannot be reached"):
        push_to_hub(model, "me/waves", token="hf_test")
    assert time.monotonic() - began < 10


def test_offline_the_cache_is_used(hub: Hub, model: ViViT, monkeypatch: pytest.MonkeyPatch) -> None:
    push_to_hub(model, "me/waves", token="hf_test")
    download("me/waves")
    hub.broken.add("me/waves")
    assert same(load_native(download("me/waves", local_files_only=True)), model)
    with pytest.raises(WeightsError, match="is not in the cache"):
        download("me/others", local_files_only=True)


def test_without_a_login_nothing_is_pushed(hub: Hub, model: ViViT) -> None:
    with pytest.raises(WeightsError, match=r"^the Hugging Face Hub .* upload me/waves"):
        push_to_hub(model, "me/waves", token=False)
    assert hub.repositories == {}


@pytest.mark.parametrize("door", [load, download, from_pretrained, read_image_vit], ids=lambda door: door.__name__)
def test_a_mistyped_path_is_never_looked_for_on_the_hub(
    door: Any, hub: Hub, model: ViViT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the name of the folder there would decide which weights answer."""
    push_to_hub(model, "runs/tpyo", token="hf_test")
    (tmp_path / "here" / "runs" / "typo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    hub.asked_for.clear()
    with pytest.raises(
        WeightsError, match=r"runs/tpyo: no such .* did you mean runs/typo\?.*not looked for on the Hugg"
    ):
        door("runs/tpyo")
    assert hub.asked_for == []


@pytest.mark.parametrize("door", [load, from_pretrained], ids=lambda door: door.__name__)
def test_a_report_says_which_revision_came_from_the_hub(door: Any, hub: Hub, model: ViViT) -> None:
    push_to_hub(model, "me/waves", token="hf_test")
    report = door("me/waves").load_report
    assert f"weights: me/waves from the Hugging Face Hub, revision {COMMIT}" in report.notes


def test_a_verb_says_which_revision_came_from_the_hub(
    hub: Hub, model: ViViT, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    push_to_hub(model, "me/waves", token="hf_test")
    (tmp_path / "x.mp4").write_bytes(b"no video")
    main(["predict", "me/waves", str(tmp_path / "x.mp4")])
    assert f"me/waves from the Hugging Face Hub, revision {COMMIT}" in capsys.readouterr().err
