"""A model and an embedder without a network."""

from __future__ import annotations

from typing import Any

from crewai import BaseLLM, Memory
from pydantic import Field

WORDS = ("tea", "train", "rent", "milk")


def embed(texts: list[str]) -> list[list[float]]:
    """Return a vector for each text, a direction for each word."""
    return [[float(word in text.lower()) for word in WORDS] + [0.125] for text in texts]


class Model(BaseLLM):
    """Answers what is asked for as a pydantic model by the answer of that name, anything else by what it says."""

    answers: dict[str, Any] = Field(default_factory=dict)
    said: str = "Tea at four."

    def call(self, messages: Any, *args: Any, response_model: Any = None, **kwargs: Any) -> Any:
        if response_model is None:
            return self.said
        return response_model.model_validate(self.answers.get(response_model.__name__, {}))

    def supports_function_calling(self) -> bool:
        return True


def memory_on(storage: Any, answers: dict[str, Any] | None = None, **given: Any) -> Memory:
    return Memory(llm=Model(model="stub", answers=answers or {}), embedder=embed, storage=storage, **given)
