"""Settings of the built-in readers."""

from __future__ import annotations

from pydantic import Field

from lmtool.config import Config


class JsonLinesConfig(Config):
    text_field: str = Field("text", min_length=1, description="the field that holds a document's text")
