#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2.
# Behaviour: a model that onnxruntime's quantize_dynamic() has made gives one and the same row another result when other rows
# are in its batch, for what comes in is scaled by the smallest and largest value of the whole batch. Of an embedding model so
# quantized, a text's vector depends on the texts it is embedded beside: embedded again alone, or found by its own words, it is
# another vector. The model before quantization gives the same in any company.
# Output seen (cosine of a row's result to that of the row alone, beside a row of values 10 and 100 times as large):
#   as it was: 1.00 1.00
#   quantized: 0.99 or more, 0.95 or less
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "onnxruntime==1.32.0" "onnx==1.23.2" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import quantize_dynamic

folder, random = sys.argv[1], np.random.default_rng(0)
weights = numpy_helper.from_array(random.standard_normal((64, 32)).astype(np.float32), "weights")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["rows", "weights"], ["result"])],
    "multiply",
    [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 64])],
    [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["n", 32])],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, f"{folder}/whole.onnx")
quantize_dynamic(f"{folder}/whole.onnx", f"{folder}/int8.onnx")
row = random.standard_normal(64).astype(np.float32)


def cosines(name: str) -> list[float]:
    session = InferenceSession(f"{folder}/{name}.onnx")
    alone, *beside = (
        session.run(None, {"rows": np.array(rows)})[0][0] for rows in ([row], [row, 10 * row[::-1]], [row, 100 * row[::-1]])
    )
    return [float(alone @ each / np.linalg.norm(alone) / np.linalg.norm(each)) for each in beside]


print("as it was:", *(f"{cosine:.2f}" for cosine in cosines("whole")))
little, much = cosines("int8")
print(f"quantized: {'0.99 or more' if 0.99 <= little < 0.9999 else little}, {'0.95 or less' if much <= 0.95 else much}")
PYTHON
"$work/venv/bin/python" "$work/seen.py" "$work" 2>/dev/null | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
as it was: 1.00 1.00
quantized: 0.99 or more, 0.95 or less
EXPECTED
