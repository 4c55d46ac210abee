"""A federation of Fieldtune nodes: Flower's strategies on the arrays of an ONNX detector."""

import subprocess
import tomllib
from logging import INFO, WARNING
from pathlib import Path

import onnx
from flwr.app import ArrayRecord, Array, ConfigRecord, Context, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdam, FedAvg, FedProx
from onnx import numpy_helper

from .updates import average_classes, common_metrics, whole

app = ServerApp()


def weights(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Weights and biases of all convolutions, in the network's order."""
    wanted = {name for node in model.graph.node if node.op_type == "Conv" for name in node.input[1:]}
    return [tensor for tensor in model.graph.initializer if tensor.name in wanted]


class Fleet:
    """Before a strategy averages, differences become whole arrays, and nodes with doubtful labels are left out."""

    def configure_train(self, server_round, arrays, config, grid):
        self.start_of_round = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        good, rest = [], []
        for reply in replies:
            doubtful = reply.has_content() and reply.content["metrics"].get("labels-doubtful", 0)
            if doubtful:
                says = reply.content.get("notes", {}).get("watchdog-says", [])
                log(WARNING, "node %s is left out: %s", reply.metadata.src_node_id, "; ".join(says))
            else:
                (good if reply.has_content() else rest).append(reply)
        for reply in good:
            reply.content["arrays"] = whole(self.start_of_round, reply)
        if good:
            average_classes(self.start_of_round, good)
            common_metrics(good)
        return super().aggregate_train(server_round, good + rest)

    def aggregate_evaluate(self, server_round, replies):
        replies = list(replies)
        if good := [reply for reply in replies if reply.has_content()]:
            common_metrics(good)
        return super().aggregate_evaluate(server_round, replies)


STRATEGIES = {base.__name__: type(f"Fleet{base.__name__}", (Fleet, base), {}) for base in (FedAvg, FedProx, FedAdam)}


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    model = onnx.load(config["start"])
    arrays = ArrayRecord({t.name: Array(numpy_helper.to_array(t)) for t in weights(model)})
    asked = {"rounds": config["rounds"], "local-epochs": config["local-epochs"], "update": config["update"]}
    if config["recipe"]:
        asked["recipe"] = config["recipe"]
    # The node that wrote `start.onnx` noted beside it what it is: all nodes are to take it the same way.
    if (notes := Path(config["start"]).with_suffix(".toml")).exists():
        notes = tomllib.loads(notes.read_text())
        asked |= {"class-names": notes["class_names"], "fresh-layers": notes["fresh"]}

    def save(arrays: ArrayRecord, path: str) -> None:
        for tensor in weights(model):
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name].numpy().astype("float32"), tensor.name))
        onnx.save(model, path)

    def central(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        save(arrays, config["result"])
        if not config["central"]:
            return None
        words = [config["result"] if word == "{}" else word for word in config["central"].split()]
        return MetricRecord({"central": float(subprocess.run(words, check=True, capture_output=True).stdout)})

    nodes = config["min-nodes"]
    counts = {f"min_{what}_nodes": nodes for what in ("train", "evaluate", "available")}
    strategy = STRATEGIES[config["strategy"]](**counts)
    result = strategy.start(
        grid, arrays, config["rounds"], config["patience"], ConfigRecord(asked), ConfigRecord(dict(asked)), central
    )
    save(result.arrays if result.arrays else arrays, config["result"])
    log(INFO, "the trained detector is %s", config["result"])
