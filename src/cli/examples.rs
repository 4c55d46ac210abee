//! Examples at the end of each command's help.

/// The command, by its names, and lines to paste.
const EXAMPLES: [(&str, &[&str]); 21] = [
    (
        "train",
        &[
            "fieldtune train photos/ --weights detector.onnx",
            "fieldtune train photos/ --weights detector.onnx --epochs 40 --batch 8 --name second",
            "fieldtune train --config job.toml --lr auto",
            "fieldtune train --resume runs/train/photos-1",
            "fieldtune train photos/ --serve",
        ],
    ),
    (
        "val",
        &[
            "fieldtune val runs/train/photos-1/weights/best.onnx photos/ --split test",
            "fieldtune val --ground-truth instances.json --detections results.json",
        ],
    ),
    (
        "predict",
        &[
            "fieldtune predict runs/train/photos-1 new_photos/ --conf 0.5 --conf person=0.7",
            "fieldtune predict runs/train/photos-1 new_photos/ --save yolo -o to_correct",
            "fieldtune predict runs/train/photos-1 --watch /srv/camera",
            "rpicam-vid -t 0 --codec mjpeg -o - | fieldtune predict runs/train/photos-1 - --latest",
            "ffmpeg -i film.mp4 -f mjpeg -q:v 3 - | fieldtune predict runs/train/photos-1 - --save pictures",
        ],
    ),
    (
        "serve-model",
        &["fieldtune serve-model runs/train/photos-1", "curl --data-binary @photo.jpg http://127.0.0.1:8070/detect"],
    ),
    ("watch", &["fieldtune watch runs/train/photos-1"]),
    ("export", &["fieldtune export runs/train/photos-1/weights/best.onnx -o jetson.onnx --form jetson"]),
    (
        "weights",
        &[
            "npm pack @mediapipe/objectron@0.4.1675468480",
            "fieldtune weights add mediapipe-objectron-0.4.1675468480.tgz",
            "fieldtune weights list",
        ],
    ),
    ("inspect", &["fieldtune inspect detector.tflite", "fieldtune inspect mb2-ssd-lite.pth --names fruit.txt"]),
    ("convert", &["fieldtune convert detector.tflite -o detector.onnx"]),
    ("pack", &["fieldtune pack photos/ -o photos.pack"]),
    ("check", &["fieldtune check photos/", "fieldtune check photos/ --json > findings.json"]),
    ("advise", &["fieldtune advise runs/train/photos-1", "fieldtune advise photos/ --minutes 20"]),
    ("clean", &["fieldtune clean", "fieldtune clean runs/train --last --remove"]),
    ("diagnose", &["fieldtune diagnose runs/train/photos-1"]),
    ("bench", &["fieldtune bench step --threads 4", "fieldtune bench loader photos/"]),
    ("probe", &["fieldtune probe photos/ --imgsz 300"]),
    ("demo", &["fieldtune demo", "fieldtune demo --images 300 --epochs 3 --out /tmp/demo"]),
    ("service", &["fieldtune service --config /etc/fieldtune/job.toml"]),
    (
        "fleet",
        &[
            "fieldtune fleet join photos/ --weights detector.onnx --superlink 192.168.1.10:8000 --root-certificates ca.pem",
            "fieldtune fleet simulate photos/ --weights detector.onnx --nodes 10 --rounds 20 --split dirichlet:0.3",
        ],
    ),
    ("config", &["fieldtune config -o job.toml"]),
    (
        "completions",
        &[
            "fieldtune completions bash > /etc/bash_completion.d/fieldtune",
            "fieldtune completions zsh > ~/.zfunc/_fieldtune",
        ],
    ),
];

/// The command line with the examples in its help.
pub fn with_examples(command: clap::Command) -> clap::Command {
    EXAMPLES.iter().fold(command, |command, (name, lines)| {
        let text = format!("Examples:\n{}", lines.iter().map(|l| format!("  {l}\n")).collect::<String>());
        command.mut_subcommand(*name, |sub| sub.after_help(text))
    })
}
