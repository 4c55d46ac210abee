"""One training step in onnxruntime-training, of a network that fieldtune exported: a JSON object a row.

    python ort_step.py DETECTOR.onnx --micro-batch 1,8 --threads 1

onnxruntime-training has no SSD loss; the mean squares of all predictions stand in its place, which costs less.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.training import artifacts, onnxblock
from onnxruntime.training.api import CheckpointState, Module, Optimizer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--micro-batch", default="1,8")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--steps", type=int, default=10)
arguments = parser.parse_args()


class MeanSquares(onnxblock.Block):
    """The sum of the mean squares of two outputs."""

    def __init__(self):
        super().__init__()
        self.parts = [onnxblock.loss.MSELoss(), onnxblock.loss.MSELoss()]
        self.add = onnxblock.blocks.Add()

    def build(self, logits, encodings):
        return self.add(self.parts[0](logits, "logits_target"), self.parts[1](encodings, "encodings_target"))


model = onnx.load(arguments.model)
weights = [i.name for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT]
# Limits of Clip are no weights.
limits = {name for node in model.graph.node if node.op_type == "Clip" for name in node.input[1:]}
learning = [name for name in weights if name not in limits]

with tempfile.TemporaryDirectory() as folder:
    artifacts.generate_artifacts(
        model,
        requires_grad=learning,
        frozen_params=[name for name in weights if name in limits],
        loss=MeanSquares(),
        optimizer=artifacts.OptimType.AdamW,
        artifact_directory=folder,
    )
    folder = Path(folder)
    for n in map(int, arguments.micro_batch.split(",")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        state = CheckpointState.load_checkpoint(str(folder / "checkpoint"))
        network = Module(
            str(folder / "training_model.onnx"), state, str(folder / "eval_model.onnx"), session_options=options
        )
        optimizer = Optimizer(str(folder / "optimizer_model.onnx"), network)
        images = np.random.default_rng(1).uniform(-1, 1, (n, 3, 300, 300)).astype(np.float32)
        outputs = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in model.graph.output}
        targets = [np.zeros([n, *dims[1:]], np.float32) for dims in outputs.values()]
        fastest = [float("inf")] * 3
        for step in range(arguments.steps + 1):
            times = [time.perf_counter()]
            network.train()
            network(images, *targets)
            times.append(time.perf_counter())
            optimizer.step()
            network.lazy_reset_grad()
            times.append(time.perf_counter())
            if step:
                parts = [b - a for a, b in zip(times, times[1:])] + [times[-1] - times[0]]
                fastest = [min(f, p) for f, p in zip(fastest, parts)]
        print(
            json.dumps(
                {
                    "microbatch": n,
                    "threads": arguments.threads,
                    "backend": "onnxruntime-training " + onnxruntime.__version__,
                    "freeze": 0,
                    "ms_per_image": {
                        k: v * 1e3 / n for k, v in zip(("forward and backward", "optimizer", "total"), fastest)
                    },
                    "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            ),
            flush=True,
        )
