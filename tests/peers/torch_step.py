"""One training step in PyTorch, measured as `fieldtune bench step` does: a JSON object a row.

    python torch_step.py --micro-batch 1,8 --threads 1 [--default]

Without `--default` the setting that was found fastest on small machines: channels_last, and an allocator that keeps
what it has been given (set in the environment before the process starts; `compare.py` does so).
"""

import argparse
import json
import resource
import time

import torch

from ssdlite import SsdLite, batch, ssd_loss

parser = argparse.ArgumentParser()
parser.add_argument("--micro-batch", default="1,8")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--classes", type=int, default=4)
parser.add_argument("--freeze", type=int, default=0)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--network", choices=["ssdlite", "ssd"], default="ssdlite")
parser.add_argument("--default", action="store_true")
arguments = parser.parse_args()

torch.set_num_threads(arguments.threads)
for n in map(int, arguments.micro_batch.split(",")):
    torch.manual_seed(1)
    network = SsdLite(arguments.classes, plain=arguments.network == "ssd")
    network.freeze(arguments.freeze)
    images, labels, targets = batch(n, arguments.classes)
    if not arguments.default:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4, weight_decay=4e-5, fused=True)
    fastest = [float("inf")] * 4
    for step in range(arguments.steps + 1):
        optimizer.zero_grad(set_to_none=True)
        times = [time.perf_counter()]
        logits, encodings = network(images)
        times.append(time.perf_counter())
        ssd_loss(logits, encodings, labels, targets).backward()
        times.append(time.perf_counter())
        torch.nn.utils.clip_grad_norm_(learning, 10.0)
        optimizer.step()
        times.append(time.perf_counter())
        if step:
            parts = [b - a for a, b in zip(times, times[1:])] + [times[-1] - times[0]]
            fastest = [min(f, p) for f, p in zip(fastest, parts)]
    names = ("forward", "backward", "optimizer", "total")
    print(
        json.dumps(
            {
                "microbatch": n,
                "threads": arguments.threads,
                "backend": "torch " + torch.__version__ + (" default" if arguments.default else " channels_last"),
                "freeze": arguments.freeze,
                "ms_per_image": {k: v * 1e3 / n for k, v in zip(names, fastest)},
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        ),
        flush=True,
    )
