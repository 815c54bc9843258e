"""What is searched by meaning: which texts of a value are embedded, by what, and how their vectors are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, get_args

from langgraph.store.base import IndexConfig, PutOp, ensure_embeddings, get_text_at_path, tokenize_path

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider.stores import IndexKind, StoreSpec, VectorType

Vectors = Mapping[str, Sequence[float]]


class AnnIndexConfig(TypedDict, total=False):
    """How vectors are indexed: "hnsw", or "flat" for none; and kept: exact, or as "halfvec" in half precision."""

    kind: Literal["hnsw", "flat"]
    vector_type: Literal["vector", "halfvec"]


class MemorizzIndexConfig(IndexConfig):
    """LangGraph's IndexConfig, with what LangGraph's PostgresStore has besides."""

    distance_type: NotRequired[Literal["cosine", "l2", "inner_product"]]
    ann_index_config: NotRequired[AnnIndexConfig]


_KINDS: Mapping[Any, IndexKind] = {"hnsw": "hnsw", "flat": "none"}


def spec_of(name: str, index: MemorizzIndexConfig | None) -> StoreSpec:
    """Return what the store of the items is; raises ConfigurationError for an index that cannot be."""
    if index is None:
        return StoreSpec(name, index="none", embedded=False, memories=False)
    dims = index.get("dims")
    if not isinstance(dims, int):
        raise ConfigurationError(f"index: dims={quoted(dims)}: expected the length of the vectors")
    ann = index.get("ann_index_config")
    kind: IndexKind | None = None
    vector_type: VectorType = "vector"
    if ann is not None:
        given, vector_type = ann.get("kind", "hnsw"), ann.get("vector_type", vector_type)
        is_known = given in _KINDS and vector_type in get_args(VectorType)
        if not is_known or ann.keys() - AnnIndexConfig.__annotations__.keys():
            raise ConfigurationError(
                f"index: ann_index_config={quoted(dict(ann))}: expected kind 'hnsw' or 'flat' and vector_type 'vector' "
                "or 'halfvec', and nothing else; `memorizz index rebuild` sets m and ef_construction"
            )
        kind = _KINDS[given]
    distance = index.get("distance_type", "cosine")
    how: Mapping[str, Any] = {"dimensions": dims, "distance": distance, "index": kind, "vector_type": vector_type}
    return StoreSpec(name, **how, embedded=False, memories=False)


class Index:
    """Embeds what is put and what is asked."""

    def __init__(self, config: MemorizzIndexConfig) -> None:
        embed = config.get("embed")
        if embed is None:
            raise ConfigurationError("index: expected embed, LangChain embeddings or a function of texts")
        self._embeddings = ensure_embeddings(embed)
        self._fields = sorted(set(config.get("fields") or ["$"]))
        self._paths = _tokenized(self._fields)

    @property
    def noted(self) -> dict[str, Any]:
        """What the vectors are of: the paths, and the model where the embeddings name it, else None."""
        names = (getattr(self._embeddings, name, None) for name in ("model", "model_name"))
        return {"fields": self._fields, "model": next((name for name in names if isinstance(name, str)), None)}

    def check_noted(self, there: Mapping[str, Any], store: str) -> None:
        """Raise ConfigurationError where the vectors of a store are of other paths, or of another model."""
        for name, wanted in self.noted.items():
            if there[name] != wanted and None not in (there[name], wanted):
                raise ConfigurationError(
                    f"index: the vectors of {store} are of another {name}, {quoted(there[name])} and not "
                    f"{quoted(wanted)}: use the same, or another name= for a store beside it"
                )

    def texts_of(self, op: PutOp) -> list[str]:
        """Return the texts of a value that are embedded, each once; none where it is not to be searched for."""
        if op.value is None or op.index is False:
            return []
        paths = self._paths if op.index is None else _tokenized(op.index)
        found = [text for path in paths for text in get_text_at_path(op.value, path)]
        return list(dict.fromkeys(text for text in found if text.strip()))

    def embed(self, texts: Sequence[str], questions: Sequence[str]) -> tuple[Vectors, Vectors]:
        """Return the vectors of texts that are kept and of questions."""
        return (
            _paired(texts, self._embeddings.embed_documents(list(texts)) if texts else []),
            _paired(questions, [self._embeddings.embed_query(question) for question in questions]),
        )

    async def aembed(self, texts: Sequence[str], questions: Sequence[str]) -> tuple[Vectors, Vectors]:
        """Do what `embed` does."""
        return (
            _paired(texts, await self._embeddings.aembed_documents(list(texts)) if texts else []),
            _paired(questions, [await self._embeddings.aembed_query(question) for question in questions]),
        )


def _tokenized(paths: Sequence[str]) -> list[str | list[str]]:
    # The whole value has no token.
    return [path if path == "$" else tokenize_path(path) for path in paths]


def _paired(texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> Vectors:
    if len(texts) != len(vectors):
        raise ConfigurationError(f"the embeddings gave {len(vectors)} vectors for {len(texts)} texts")
    return dict(zip(texts, vectors, strict=True))
