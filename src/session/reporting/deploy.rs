//! The uses of a run's files, as commands that can be copied.

use crate::session::shell_word::shell_word;
use std::path::Path;

/// Purpose and command, for the run in `folder`.
pub fn deploy(folder: &Path) -> Vec<(String, String)> {
    let best = shell_word(&folder.join("weights/best.onnx"));
    let run = shell_word(folder);
    let commands = [
        ("see what it finds", format!("fieldtune predict {best} new_photos/")),
        ("measure it on other photos", format!("fieldtune val {best} photos/ --split test")),
        ("jetson-inference, OpenCV, ncnn, DeepStream", format!("fieldtune export {best} -o jetson.onnx --form jetson")),
        ("onnxruntime, with suppression inside", format!("fieldtune export {best} -o detector.onnx --form detections")),
        ("OpenVINO, Frigate", format!("fieldtune export {best} -o detector.onnx --form ssd")),
        ("TFLite", format!("fieldtune export {best} -o detector.tflite")),
        ("train it for more epochs", format!("fieldtune train --resume {run} --epochs 40")),
    ];
    commands.map(|(purpose, command)| (purpose.to_string(), command)).into()
}
