//! `[fleet]` of a job file: the service takes part in a fleet in place of training alone.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a node reaches its server, and how much it gives away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetFile {
    /// Address of the SuperLink, HOST:PORT.
    pub superlink: Option<String>,
    /// Authority that signed the server's certificate, as a PEM file; those that browsers trust if absent.
    pub root_certificates: Option<PathBuf>,
    /// Without encryption.
    pub insecure: bool,
    /// Private key of the node (PKCS #8, PEM, P-256); made in the node's folder if absent.
    pub key: Option<PathBuf>,
    /// Seconds between two questions for work during a run.
    pub poll_s: f64,
    /// Megabytes that rounds may send and receive in a day; no bound if absent.
    pub mb_per_day: Option<f64>,
    /// Norm that each answer is clipped to; not clipped if absent.
    pub clip_update: Option<f64>,
    /// Deviation of the noise on each number of an answer, in clips.
    pub noise: f64,
}

impl Default for FleetFile {
    fn default() -> Self {
        Self {
            superlink: None,
            root_certificates: None,
            insecure: false,
            key: None,
            poll_s: 3.0,
            mb_per_day: None,
            clip_update: None,
            noise: 0.0,
        }
    }
}
