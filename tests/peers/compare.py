"""The same training step by Fieldtune, PyTorch, onnxruntime-training and burn's own convolutions, side by side.

    python tests/peers/compare.py [--threads 1] [--rounds 3] [--model DETECTOR.onnx] [--burn]

Needs `pip install -r tests/peers/requirements.txt` and a release build of fieldtune. The programs run in turn, round
after round, so that what else the machine does falls on all of them; each row shows the fastest round. `--model` adds
onnxruntime-training (another interpreter: `--ort-python`), `--burn` builds and adds burn's own convolutions.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# glibc's allocator gives large blocks back to the system at every step and takes them anew; this makes it keep them.
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 28),
}

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--micro-batch", default="1,8")
parser.add_argument("--freeze", type=int, default=0)
parser.add_argument("--network", choices=["ssdlite", "ssd"], default="ssdlite", help="the others know ssdlite only")
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--fieldtune", default=str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/fieldtune"))
parser.add_argument("--isa", action="append", default=[], help="instruction sets of Fieldtune to show besides the best")
parser.add_argument("--default-torch", action="store_true", help="PyTorch as it comes, too")
parser.add_argument("--model", help="a detector that fieldtune exported, for onnxruntime-training")
parser.add_argument("--ort-python", default=sys.executable)
parser.add_argument("--burn", action="store_true")
arguments = parser.parse_args()

threads, steps = str(arguments.threads), str(arguments.steps)
common = ["--threads", threads, "--freeze", str(arguments.freeze), "--steps", steps]
network = ["--network", arguments.network]
fieldtune = [arguments.fieldtune, "bench", "step", "--classes", "4", "--json", *network, *common]
torch = [sys.executable, str(HERE / "torch_step.py"), *network, *common]
programs = {"Fieldtune": (fieldtune, {})}
for isa in arguments.isa:
    programs[f"Fieldtune, {isa}"] = ([*fieldtune, "--isa", isa], {})
programs["PyTorch, tuned"] = (torch, TUNED)
if arguments.default_torch:
    programs["PyTorch as it comes"] = ([*torch, "--default"], {})
if arguments.model:
    programs["onnxruntime-training"] = (
        [arguments.ort_python, str(HERE / "ort_step.py"), arguments.model, "--threads", threads, "--steps", steps],
        {},
    )
if arguments.burn:
    subprocess.run(["cargo", "build", "--release", "--manifest-path", str(HERE / "stock_burn/Cargo.toml")], check=True)
    built = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "stock_burn/target")) / "release/stock_burn"
    programs["burn's convolutions"] = ([str(built)], {})

best = {}
for round_ in range(arguments.rounds):
    for name, (command, environment) in programs.items():
        # A process for each micro-batch: the peak of one is not the other's.
        for n in arguments.micro_batch.split(","):
            if name == "burn's convolutions":
                line = [*command, n, threads, str(min(arguments.steps, 2))]
                if round_:
                    continue
            else:
                line = [*command, "--micro-batch", n]
            done = subprocess.run(line, env={**os.environ, **environment}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
            row = json.loads(done.stdout.strip().splitlines()[-1])
            key = (name, n)
            if key not in best or row["ms_per_image"]["total"] < best[key]["ms_per_image"]["total"]:
                best[key] = row
            print(f"round {round_ + 1}  {name}  x{n}  {row['ms_per_image']['total']:.1f} ms", file=sys.stderr)

print("| micro-batch | | ms per image | times Fieldtune's | peak RSS MB |")
print("|---|---|---|---|---|")
for n in arguments.micro_batch.split(","):
    ours = best["Fieldtune", n]["ms_per_image"]["total"]
    for name in programs:
        row = best[name, n]
        total = row["ms_per_image"]["total"]
        print(f"| {n} | {name} ({row['backend']}) | {total:.1f} | {total / ours:.2f} | {row['peak_rss_mb']:.0f} |")
