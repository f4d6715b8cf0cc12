"""The shapes of answers, for the OpenAPI description: what `Result.to_dict` and its relatives give."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from tubelet.serving.problem import ProblemDetails


class ClassProbability(BaseModel):
    """A class."""

    label: str
    probability: float = Field(ge=0, le=1)


class HeadAnswer(BaseModel):
    """The prediction of one head."""

    label: str | None = Field(None, description="the class, or `unknown`; none of a multi-label head")
    probability: float | None = Field(None, ge=0, le=1)
    labels: list[ClassProbability] | None = Field(None, description="of a multi-label head: all that are reported")
    top: list[ClassProbability]


class Prediction(BaseModel):
    """`tubelet.prediction.Result.to_dict`: of a single head `label`, `probability` and `top`, of a
    multi-label one `labels` and `top`; of several `heads`."""

    path: str = Field(description="the name that the client gave the file")
    error: str | None
    label: str | None = None
    probability: float | None = None
    labels: list[ClassProbability] | None = None
    top: list[ClassProbability] | None = None
    heads: dict[str, HeadAnswer] | None = None
    views: str
    frames: list[int] = Field(description="of the video, that the model saw")
    damaged: list[int]
    timestamps: list[float] | None = Field(description="seconds of these frames")
    resampled: bool
    use: str | None = Field(description="learned, chose or held_out, where the model knows the file from its training")
    seconds: float
    model: str
    exact: bool = Field(description="whether the logits are those of `tubelet predict` to the last bit, or to 1e-5")
    thumbnails: list[str] | None = Field(None, description="data URIs of a few of the frames")


class Ready(BaseModel):
    """Whether the service can answer."""

    ready: bool
    problem: str | None


class Models(BaseModel):
    """The models of the service."""

    version: str
    default: str
    models: list[dict[str, Any]]
    limits: dict[str, Any]


PROBLEM = {"model": ProblemDetails, "content": {"application/problem+json": {}}}

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {**PROBLEM, "description": "Parameters or a body that do not fit."},
    401: {**PROBLEM, "description": "A key is needed."},
    403: {**PROBLEM, "description": "A page of another origin."},
    421: {**PROBLEM, "description": "The service is not known under this Host."},
}

UPLOAD_REFUSALS: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    404: {**PROBLEM, "description": "No such model."},
    408: {**PROBLEM, "description": "The upload was too slow."},
    413: {**PROBLEM, "description": "The upload is too large."},
    422: {**PROBLEM, "description": "The file cannot be decoded; `detail` says why."},
    429: {**PROBLEM, "description": "Too many requests; see Retry-After."},
    503: {**PROBLEM, "description": "Not ready, or too late; see Retry-After."},
    507: {**PROBLEM, "description": "No room for the upload."},
}
