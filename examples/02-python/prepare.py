"""Writes points near y = 3 x + 1, the same ones in every attempt."""

import json
import os
import random
from pathlib import Path

params = json.loads(Path(os.environ["ANNEAL_PARAMS_FILE"]).read_text())
outputs = Path(os.environ["ANNEAL_OUTPUT_DIR"])
random.seed(int(os.environ["ANNEAL_SEED"]))

xs = [random.uniform(-1, 1) for _ in range(params["rows"])]
lines = [f"{x},{3 * x + 1 + random.gauss(0, 0.1)}" for x in xs]

# a file or folder output stands under its own name; value outputs are keys of outputs.json
(outputs / "table").mkdir()
(outputs / "table" / "points.csv").write_text("\n".join(lines))
(outputs / "outputs.json").write_text(json.dumps({"rows": len(lines)}))
