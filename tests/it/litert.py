"""Makes litert.json: raw boxes and class logits that LiteRT computes from the published detector about four images.

python litert.py ../shared/weights/ssd_mobilenet_v2_oidv4_fp16.tflite > litert.json
Needs ai-edge-litert and numpy. The images are those of `pattern` in tflite.rs.
"""
import json
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def pattern(seed):
    y, x, c = np.meshgrid(np.arange(300), np.arange(300), np.arange(3), indexing="ij")
    wave = (x * (c + 1 + seed) + y * (4 - c) + (x * y // 64) * 7) % 256
    return (wave / 127.5 - 1).astype(np.float32)[None]


def main(path):
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    named = {d["name"]: d["index"] for d in interpreter.get_output_details()}
    ends = named["raw_outputs/box_encodings"], named["raw_outputs/class_predictions"]
    rng = np.random.default_rng(0)
    photos = []
    for seed in range(4):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pattern(seed))
        interpreter.invoke()
        photo = {"seed": seed}
        for name, end in zip(("boxes", "logits"), ends):
            values = interpreter.get_tensor(end).reshape(-1)
            at = np.concatenate([rng.integers(0, values.size, 10), [int(values.argmax()), int(values.argmin())]])
            photo[name] = [[int(i), float(values[i])] for i in at]
        photos.append(photo)
    json.dump({"made by": "litert.py", "photos": photos}, sys.stdout, indent=1)


main(sys.argv[1])
