"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from tubelet.errors import StorageError, TubeletError, VideoError, WorkerError
from tubelet.text import one_line


class ProblemDetails(BaseModel):
    """Why there is no answer."""

    type: str = Field("about:blank", description="always about:blank: the status says what kind it is")
    title: str = Field(description="of the status")
    status: int = Field(description="of HTTP")
    detail: str = Field(description="one sentence: what was expected, what came, what to do")


class ProblemError(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        detail: a sentence.
        headers: of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    @classmethod
    def of(cls, error: TubeletError) -> ProblemError:
        """An error of tubelet. A path on this machine is left out."""
        if isinstance(error, VideoError):
            return cls(422, error.reason)
        if isinstance(error, StorageError):
            return cls(507, "there is no room for the upload; try again later, or send a smaller file")
        if isinstance(error, WorkerError):
            return cls(503, "no process for decoding can be started", {"Retry-After": "10"})
        return cls(400, str(error))

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return ProblemDetails(
            type="about:blank", title=HTTPStatus(self.status).phrase, status=self.status, detail=one_line(self.detail)
        ).model_dump()

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.to_dict(), self.status, self.headers, "application/problem+json")


async def of_problem(request: Request, error: Exception) -> JSONResponse:
    """Handler of `ProblemError`."""
    assert isinstance(error, ProblemError)
    return error.response()


async def of_tubelet(request: Request, error: Exception) -> JSONResponse:
    """Handler of errors of tubelet."""
    assert isinstance(error, TubeletError)
    return ProblemError.of(error).response()


async def of_http(request: Request, error: Exception) -> JSONResponse:
    """Handler of what the router refuses: an unknown path, another method."""
    assert isinstance(error, HTTPException)
    return ProblemError(
        error.status_code, f"{request.method} {request.url.path}: {error.detail}", error.headers
    ).response()


async def of_validation(request: Request, error: Exception) -> JSONResponse:
    """Handler of parameters that do not fit."""
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return ProblemError(400, wrong).response()
