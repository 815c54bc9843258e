"""What the PostgreSQL memory provider does, in ten short examples.

Runs on the server of POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER and POSTGRES_PASSWORD where one of them
is set, else on the embedded one. Everything happens in the schema memorizz_example, which is emptied at the start:

    python examples/postgresql_example.py
    memorizz stats --schema memorizz_example
"""

from __future__ import annotations

import asyncio
import zlib

import numpy as np

from memorizz import AsyncPostgreSQLProvider, MemoryType, PostgreSQLConfig, PostgreSQLProvider

DIMENSIONS = 256


def embed(text: str) -> np.ndarray:
    """Return a vector for a text: texts that share words are near each other.

    A stand-in that needs no model and gives the same numbers everywhere. A real model knows that a dog is an animal;
    this does not. In your own program, call the model here.
    """
    words = [word.strip(".,;:!?").lower() for word in text.split()]
    # One random direction per word, always the same one; a text points where its words point together.
    vector = sum(np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMENSIONS) for word in words)
    return vector / np.linalg.norm(vector)


def store_a_persona(provider: PostgreSQLProvider) -> None:
    print("📝 Example 1: Storing a Persona")
    persona_id = provider.store(
        {
            "name": "Harbour pilot",
            "role": "guide",
            "content": "Knows every shoal of the estuary and explains it calmly.",
            # A key that has no column of its own is kept all the same, and comes back as it was.
            "goals": ["bring ships in safely", "teach the apprentice"],
        },
        MemoryType.PERSONAS,
    )
    print(f"✅ Stored persona with ID: {persona_id}")
    persona = provider.retrieve_by_id(persona_id, MemoryType.PERSONAS)
    assert persona is not None
    print(f"   Read back: {persona['name']}, whose goals are {', '.join(persona['goals'])}")


FACTS = {
    "The red buoy marks the shallow sand bank": ("buoys", 0.9),
    "The lighthouse keeper drinks black tea at four": ("people", 0.3),
    "The tide turns twenty minutes after the bridge opens": ("tides", 0.8),
    "The ferry waits for the tide before it leaves": ("tides", 0.6),
    "The apprentice speaks Dutch with the crane drivers": ("people", 0.4),
}


def store_memories(provider: PostgreSQLProvider) -> None:
    print("📝 Example 2: Storing Long-Term Memories with Embeddings")
    ids = provider.store_many(
        [
            {
                "memory_id": "estuary",
                "content": content,
                "importance_score": importance,
                "metadata": {"topic": topic},
                "embedding": embed(content),
            }
            for content, (topic, importance) in FACTS.items()
        ],
        MemoryType.LONG_TERM_MEMORY,
    )
    print(f"✅ Stored {len(ids)} memories, all or nothing, in one call")


def search_by_similarity(provider: PostgreSQLProvider) -> None:
    print("📝 Example 3: Similarity Search")
    question = "What happens after the bridge opens?"
    hits = provider.retrieve_by_query({"embedding": embed(question)}, MemoryType.LONG_TERM_MEMORY, limit=2)
    print(f"   {question}")
    for hit in hits:
        print(f"   {hit['score']:.2f}  {hit['content']}")
    print(f"✅ The nearest of {provider.count(MemoryType.LONG_TERM_MEMORY)} memories came first")


def search_by_words(provider: PostgreSQLProvider) -> None:
    print("📝 Example 4: Searching by Words")
    # A plain text is searched by its words, whatever their form: "lighthouses" finds "lighthouse".
    hits = provider.retrieve_by_query("lighthouses", MemoryType.LONG_TERM_MEMORY)
    print(f"✅ Found without any embedding: {hits[0]['content']}")


def keep_a_conversation(provider: PostgreSQLProvider) -> None:
    print("📝 Example 5: A Conversation and Its History")
    for role, content in (
        ("user", "A coaster is waiting outside. Can it come in?"),
        ("assistant", "Not yet: the bar has two metres of water."),
        ("user", "And after lunch?"),
        ("assistant", "From ten past two, on the flood."),
    ):
        provider.store({"memory_id": "watch", "role": role, "content": content}, MemoryType.CONVERSATION_MEMORY)
    newest = provider.retrieve_conversation_history_ordered_by_timestamp("watch", limit=2)
    earlier = provider.retrieve_conversation_history_ordered_by_timestamp("watch", before=newest[0]["id"])
    for turn in [*earlier, *newest]:
        print(f"   {turn['role']}: {turn['content']}")
    print(f"✅ Read the newest {len(newest)} turns, then the {len(earlier)} before them")


def filter_memories(provider: PostgreSQLProvider) -> None:
    print("📝 Example 6: Filters")
    important = {"importance_score": {"$gte": 0.6}, "metadata.topic": {"$in": ["tides", "buoys"]}}
    print(f"   {provider.count(MemoryType.LONG_TERM_MEMORY, important)} important memories about tides or buoys")
    # A filter and a vector go together: first what may be found at all, then what is nearest.
    query = {"embedding": embed("Who waits for the tide with black tea?"), "metadata.topic": "people"}
    hit = provider.retrieve_by_query(query, MemoryType.LONG_TERM_MEMORY)[0]
    print(f"✅ The nearest one about people, although others are nearer: {hit['content']}")


def work_with_an_agent(provider: PostgreSQLProvider) -> None:
    print("📝 Example 7: An Agent and Its Memory")
    agent_id = provider.store_memagent(
        {"name": "Pilot", "instruction": "Answer briefly, name your source.", "memory_ids": ["estuary", "watch"]}
    )
    agent = provider.retrieve_memagent(agent_id)
    assert agent is not None
    for memory_id in agent["memory_ids"]:
        # One search over all stores of one memory, merged by score.
        hits = provider.retrieve_memory_components_by_query("water tide bank", memory_id=memory_id, limit=1)
        print(f"   From the memory {memory_id!r}: {hits[0]['content']}")
    print(f"✅ {agent['name']} has {len(agent['memory_ids'])} memories to look into")


def all_or_nothing(provider: PostgreSQLProvider) -> None:
    print("📝 Example 8: A Transaction over Several Stores")
    before = provider.count(MemoryType.WORKFLOW_MEMORY), provider.count(MemoryType.TOOLBOX)
    try:
        with provider.transaction() as transaction:
            transaction.store({"name": "Berth a ship", "steps": ["call the tug"]}, MemoryType.WORKFLOW_MEMORY)
            transaction.store({"name": "call_tug", "content": "Order a tug."}, MemoryType.TOOLBOX)
            call_the_tug()
    except TimeoutError as error:
        after = provider.count(MemoryType.WORKFLOW_MEMORY), provider.count(MemoryType.TOOLBOX)
        assert after == before
        print(f"✅ Nothing was stored, since {error}")


def call_the_tug() -> None:
    raise TimeoutError("the tug does not answer")


def change_and_forget(provider: PostgreSQLProvider) -> None:
    print("📝 Example 9: Changing and Forgetting")
    note_id = provider.store({"name": "Fog", "content": "Fog until noon."}, MemoryType.SHORT_TERM_MEMORY)
    # Keys that are given change, the others stay.
    provider.update_by_id(note_id, {"content": "The fog has lifted."}, MemoryType.SHORT_TERM_MEMORY)
    note = provider.retrieve_by_name("Fog", MemoryType.SHORT_TERM_MEMORY)
    assert note is not None
    provider.delete_by_id(note_id, MemoryType.SHORT_TERM_MEMORY)
    assert provider.retrieve_by_id(note_id, MemoryType.SHORT_TERM_MEMORY) is None
    print(f"✅ Changed to “{note['content']}”, then deleted")


async def await_it(config: PostgreSQLConfig) -> None:
    print("📝 Example 10: The Same, Awaited")
    questions = ["Where is the shallow sand bank?", "What does the keeper drink?"]
    async with AsyncPostgreSQLProvider(config) as provider:
        answers = await asyncio.gather(
            *(
                provider.retrieve_by_query({"embedding": embed(question)}, MemoryType.LONG_TERM_MEMORY)
                for question in questions
            )
        )
    for question, hits in zip(questions, answers, strict=True):
        print(f"   {question}  {hits[0]['content']}")
    print(f"✅ Asked {len(questions)} questions at once")


def main() -> None:
    print("🚀 PostgreSQL Memory Provider Example")
    print("=" * 50)
    print("📡 Connecting to PostgreSQL...")
    config = PostgreSQLConfig.auto(schema="memorizz_example", embedding_dimensions=DIMENSIONS)
    with PostgreSQLProvider(config) as provider:
        print("✅ Connected successfully!")
        for store in MemoryType:
            provider.delete_all(store)
        store_a_persona(provider)
        store_memories(provider)
        search_by_similarity(provider)
        search_by_words(provider)
        keep_a_conversation(provider)
        filter_memories(provider)
        work_with_an_agent(provider)
        all_or_nothing(provider)
        change_and_forget(provider)
        asyncio.run(await_it(config))
    print("🎉 All examples completed successfully!")


if __name__ == "__main__":
    main()
