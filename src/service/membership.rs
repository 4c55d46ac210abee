//! The service as a node of a fleet (`[fleet]` of the job file): it trains when the server asks, on the photos of the
//! inbox, and joins anew when they change.

use super::inputs::{Inputs, Settling};
use crate::config::JobFile;
use crate::fleet::node::NodeOptions;
use crate::fleet::{privacy_of, take_part};
use crate::session::Systemd;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between looks at the flag of the service.
const SLICE: Duration = Duration::from_millis(200);

/// One stay in a fleet, with the photos that are there.
pub struct Membership {
    pub job: JobFile,
    pub data: PathBuf,
    pub weights: PathBuf,
    /// The node's own folder.
    pub folder: PathBuf,
    /// The text of the job, part of the inputs' sum.
    pub text: String,
    /// Time between looks at the photos, and time in which nothing may have changed.
    pub poll: Duration,
    pub settle: Duration,
}

impl Membership {
    /// Works as a node until `stop`, or until the photos are others than at its beginning.
    ///
    /// # Errors
    /// If data, weights, server or disk refuse.
    pub fn run(&self, stop: &Arc<AtomicBool>) -> Result<()> {
        let fleet = self.job.fleet.clone().context("the job file has no [fleet]")?;
        let job = &self.job;
        let options = NodeOptions {
            data: vec![self.data.clone()],
            weights: Some(self.weights.clone()),
            names: job.names.clone(),
            folder: self.folder.clone(),
            imgsz: job.imgsz,
            threads: job.threads,
            train_split: job.train_split.clone(),
            val_split: job.val_split.clone(),
            val_share: job.val_share,
            accept: job.accept.clone(),
            pack_as: job.pack_as,
            recipe: job.recipe.clone(),
            privacy: privacy_of(&fleet)?,
            mb_per_day: fleet.mb_per_day,
        };
        let (leave, over) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| self.watch(stop, &leave, &over));
            let result = take_part(&fleet, &options, &leave);
            over.store(true, Ordering::Relaxed);
            result
        })
    }

    /// Gives signs of life, and has the node leave when the service stops or the photos have changed.
    fn watch(&self, stop: &AtomicBool, leave: &AtomicBool, over: &AtomicBool) {
        let look = || Inputs::look(&self.data, &self.weights, &self.text);
        let (began_with, mut settling) = (look().sum, Settling::default());
        let (mut systemd, mut looked) = (Systemd::from_environment(), Instant::now());
        while !over.load(Ordering::Relaxed) {
            systemd.alive();
            if stop.load(Ordering::Relaxed) {
                leave.store(true, Ordering::Relaxed);
            }
            if looked.elapsed() >= self.poll {
                looked = Instant::now();
                let now = look();
                if now.sum != began_with && settling.is_settled(&now, self.settle) {
                    log::info!("the photos have changed: leaving the fleet, to join it with them");
                    leave.store(true, Ordering::Relaxed);
                }
            }
            std::thread::sleep(SLICE);
        }
    }
}
