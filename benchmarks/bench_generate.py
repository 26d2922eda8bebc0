"""How far generation is from the engine's own rate: examples a second beside the bare queries a second it must run.

Both are measured in one run, in turns, so that the ratio holds on a loaded machine too.
"""

from __future__ import annotations

import time
from statistics import median

from heimdall_nb import progress
from heimdall_nb.dataset.generate import generate
from heimdall_nb.dataset.graphs import instantiate, load_schema, schema_names
from heimdall_nb.engines.arcadedb import ArcadeDB

EXAMPLES, ROUNDS, SEED = 400, 3, 7


def main() -> None:
    """Print examples/s, reads/s of the engine on the same queries, and their ratio (1 would be the engine's limit)."""
    graph = schema_names()[0]
    instance = instantiate(load_schema(graph), SEED)
    generated, bare = [], []
    with ArcadeDB() as engine:
        examples = generate(EXAMPLES, SEED, [graph], engine)  # warms the Java machine
        reads = [example.output for example in examples if example.category != "write"]
        for _ in progress.track(range(ROUNDS), "rounds"):
            start = time.perf_counter()
            generate(EXAMPLES, SEED, [graph], engine)
            generated.append(EXAMPLES / (time.perf_counter() - start))
            engine.load(instance)
            start = time.perf_counter()
            for query in reads:
                engine.run(query)
            bare.append(len(reads) / (time.perf_counter() - start))
    print(f"examples generated and verified: {median(generated):8.0f} /s")
    print(f"the same reads, bare:            {median(bare):8.0f} /s")
    print(f"ratio:                           {median(generated) / median(bare):8.2f}")


if __name__ == "__main__":
    main()
