//! Files whose SHA-256 is known, and what they are.

/// A public file.
pub struct Known {
    pub sha256: &'static str,
    /// Its usual file name; empty where it has none.
    pub file: &'static str,
    /// For a sentence.
    pub what: &'static str,
    pub licence: &'static str,
    /// The name that it is kept under unless another is given; `None` for a package.
    pub name: Option<&'static str>,
}

/// Computed from the published files.
const KNOWN: [Known; 3] = [
    Known {
        sha256: "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c",
        file: "mediapipe-objectron-0.4.1675468480.tgz",
        what: "the npm package @mediapipe/objectron 0.4.1675468480",
        licence: "Apache-2.0",
        name: None,
    },
    Known {
        sha256: "470986ca5df183f41698da6de74b027d838fe289d77b5ab094497d350bee664e",
        file: "objectron_solution_packed_assets.data",
        what: "objectron_solution_packed_assets.data of the npm package @mediapipe/objectron 0.4.1675468480",
        licence: "Apache-2.0",
        name: None,
    },
    Known {
        sha256: "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
        file: "",
        what: "ssd_mobilenet_v2 of TensorFlow's Object Detection API, 300x300, trained on Open Images V4",
        licence: "Apache-2.0",
        name: Some("ssd_mobilenet_v2_oidv4"),
    },
];

/// The published file of that name, whatever was downloaded under it.
pub fn published(file: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.file == file && !file.is_empty())
}

/// The file of this SHA-256, in hexadecimal digits, if it is known.
pub fn known(sha256: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.sha256 == sha256)
}
