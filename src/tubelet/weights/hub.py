"""Download from and upload to the Hugging Face Hub, with the arguments of `huggingface_hub`.

Only configurations and weights are downloaded, no code and no other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from torch import nn

from tubelet.errors import WeightsError
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.paths import HUB_NAME, refuse_mistyped
from tubelet.provenance import PROVENANCE_FILE
from tubelet.version import __version__
from tubelet.weights.model_card import model_card
from tubelet.weights.native import load_native, load_provenance, save
from tubelet.weights.sample_clips import SAMPLES_FILE

CONFIGURATIONS = [
    "config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    PROVENANCE_FILE,
    SAMPLES_FILE,
]
SAFETENSORS = ["model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"]
PICKLED = ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"]

_NETWORK = ("httpx", "httpx2", "requests", "urllib3")
"""Packages whose errors are of the network, whichever of them this `huggingface_hub` uses."""


def download(
    repo_id: str,
    revision: str | None = None,
    *,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Download a model's configuration and weights, unless they are in the cache.

    `pytorch_model.bin` is downloaded only if there are no safetensors.

    Args:
        repo_id: owner/name.
        revision: branch, tag or commit.
        token, cache_dir, local_files_only, force_download: as of `tubelet.from_pretrained`.

    Returns:
        the folder in the cache.

    Raises:
        WeightsError: the Hub cannot be reached or has no such model, the model has no weights, or the name looks like a
            mistyped path (its first part is a local folder).
    """
    if HUB_NAME.fullmatch(repo_id):
        refuse_mistyped(repo_id)
    api = HfApi(token=token, library_name="tubelet", library_version=__version__)
    for weights in (SAFETENSORS, PICKLED):
        with _in_one_sentence(repo_id, revision, "load"):
            found = api.snapshot_download(
                repo_id,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                force_download=force_download,
                allow_patterns=[*CONFIGURATIONS, *weights],
            )
        folder = Path(found)
        if any(file for pattern in weights for file in folder.glob(pattern)):
            return folder
    raise WeightsError(
        f"{repo_id} on the Hugging Face Hub has neither model.safetensors nor pytorch_model.bin; "
        "it is no model that tubelet can read"
    )


def hub_note(repo_id: str, folder: Path) -> str:
    """The note of a load report on weights that `download` put in `folder`: repository and commit."""
    return f"weights: {repo_id} from the Hugging Face Hub, revision {folder.name}"


def push_to_hub(
    model: nn.Module | str | Path,
    repo_id: str,
    *,
    commit_message: str = "Upload a model with tubelet",
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    licence: str | None = None,
    card: str | None = None,
    sample_clips: bool = False,
) -> str:
    """Put a model on the Hub: `config.json`, `model.safetensors` and a model card.

    Fingerprints of the training videos, if known, are uploaded in `provenance.csv`, so that a later evaluation can tell
    which of its videos were trained on. Names of files and folders are not uploaded.

    Args:
        model: a model, also in a wrapper; or the folder of a run (or of `tubelet.save`), with its figures for the card.
        repo_id: owner/name; is made if it is not there.
        commit_message: of the one commit.
        private: whether others see it, if it is made now; the owner's default if None.
        token: must allow writing; the stored login, or `HF_TOKEN`, if None.
        branch: the main one if None.
        create_pr: open a pull request instead of committing.
        licence: as the Hub abbreviates it ("apache-2.0").
        card: the text of the card, instead of one that is made.
        sample_clips: put the sample clips of the run there too. They are real pictures of its videos.

    Returns:
        the address of the commit, or of the pull request.

    Raises:
        WeightsError: the Hub cannot be reached or refuses, or the folder is none of ours.
    """
    run, model = None, unwrapped(model)
    if not isinstance(model, ViViT):
        run = Path(model)
        model = load_native(run)
        model.provenance = load_provenance(run, run.name) if (run / PROVENANCE_FILE).is_file() else None
        model.sample_clips = run / SAMPLES_FILE
    api = HfApi(token=token, library_name="tubelet", library_version=__version__)
    with TemporaryDirectory(prefix="tubelet-") as folder:
        save(model, folder)
        if not sample_clips:
            (Path(folder) / SAMPLES_FILE).unlink(missing_ok=True)
        if model.provenance is not None:
            model.provenance.without_paths().write(Path(folder) / PROVENANCE_FILE)
        text = card if card is not None else model_card(model, repo_id, run=run, licence=licence)
        (Path(folder) / "README.md").write_text(text, encoding="utf-8")
        with _in_one_sentence(repo_id, branch, "upload"):
            url = api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=url.repo_id,
                folder_path=folder,
                commit_message=commit_message,
                revision=branch,
                create_pr=create_pr,
            )
    return commit.pr_url or commit.commit_url


@contextmanager
def _in_one_sentence(repo_id: str, revision: str | None, verb: str) -> Iterator[None]:
    """Turn what goes wrong with the Hub into a WeightsError; anything else passes."""
    try:
        yield
    except Exception as error:
        reason = _reason(error, repo_id, revision, verb)
        if reason is None:
            raise
        raise WeightsError(reason) from error


def _reason(error: Exception, repo_id: str, revision: str | None, verb: str) -> str | None:
    page = f"huggingface.co/{repo_id}"
    if isinstance(error, HFValidationError):
        return f"{repo_id!r} is neither a folder here nor a name on the Hugging Face Hub (owner/name)"
    if isinstance(error, GatedRepoError):
        return f"{repo_id}: its owner gives access on request; ask for it at {page}, then `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the Hugging Face Hub has no model {repo_id} that you may {verb}; if it is private, `hf auth login` or "
            "set HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} on the Hugging Face Hub has no branch, tag or commit {revision!r}; see {page}"
    if isinstance(error, LocalTokenNotFoundError):
        return f"cannot {verb} {repo_id} without a login to the Hugging Face Hub: `hf auth login`, or set HF_TOKEN"
    if isinstance(error, LocalEntryNotFoundError):
        return _unreachable(repo_id, verb)
    if isinstance(error, EntryNotFoundError):
        return f"{repo_id} on the Hugging Face Hub has none of the files of a model (config.json, model.safetensors)"
    if isinstance(error, HfHubHTTPError):
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            return f"the Hugging Face Hub does not let you {verb} {repo_id}; `hf auth login` with a token that may"
        return f"the Hugging Face Hub did not {verb} {repo_id}: it answered {status}; try again later"
    network = type(error).__module__.partition(".")[0] in _NETWORK
    return _unreachable(repo_id, verb) if network or isinstance(error, ConnectionError | TimeoutError) else None


def _unreachable(repo_id: str, verb: str) -> str:
    if verb == "upload":
        return f"cannot upload {repo_id}: the Hugging Face Hub cannot be reached from here (or HF_HUB_OFFLINE is set)"
    return (
        f"{repo_id} is not in the cache and the Hugging Face Hub cannot be reached from here (or HF_HUB_OFFLINE is "
        f"set); where it can, `hf download {repo_id} --local-dir FOLDER`, and load FOLDER"
    )
