//! How to use what a run leaves, as commands that can be copied.

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

/// The path as one word of a shell's command line.
fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_any_name_is_one_word() {
        assert_eq!(shell_word(Path::new("runs/train/a-1")), "runs/train/a-1");
        assert_eq!(shell_word(Path::new("my runs/$(rm)'s")), r"'my runs/$(rm)'\''s'");
    }
}
