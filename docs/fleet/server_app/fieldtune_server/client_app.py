"""A node in Python, for boards or machines that train with something else than Fieldtune.

It sees the same arrays by the same names: those of the ONNX file, convolutions as [out, in, height, width]. This one trains
nothing: it moves every weight by a hundredth towards zero, so that its part in the average can be checked by hand.
"""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    trained = {name: Array((values * np.float32(0.99)).astype(np.float32)) for name, values in arrays.items()}
    metrics = MetricRecord({"num-examples": 10, "train-loss": 0.0})
    return Message(RecordDict({"arrays": ArrayRecord(trained), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 10, "loss": 0.0})}), reply_to=message)
