//! Membership: what a command or a job file says of a fleet, as a node that joins it and works.

use super::join::WorkingNode;
use super::mailbox::Mailbox;
use super::node::{FleetNode, NodeOptions};
use super::privacy::Privacy;
use super::wire::{Client, Connection, NodeKey, SuperLink};
use crate::config::FleetFile;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Longest time between two questions, in seconds.
const LONGEST_POLL: f64 = 3600.0;

/// # Errors
/// If the settings cannot work; nothing is read or sent.
pub fn check_settings(fleet: &FleetFile) -> Result<()> {
    if !(0.1..=LONGEST_POLL).contains(&fleet.poll_s) {
        bail!("poll of {} seconds, expected 0.1 to {LONGEST_POLL}", fleet.poll_s);
    }
    if fleet.insecure && fleet.root_certificates.is_some() {
        bail!("insecure and root_certificates are both given, expected one of them");
    }
    if fleet.noise != 0.0 && fleet.clip_update.is_none() {
        bail!("noise = {} without clip_update, expected both: noise is told in clips", fleet.noise);
    }
    privacy_of(fleet).map(drop)
}

/// The clipping and the noise of answers, where there are any.
///
/// # Errors
/// If a number is out of its range.
pub fn privacy_of(fleet: &FleetFile) -> Result<Option<Privacy>> {
    fleet.clip_update.map(|clip| Privacy::new(clip, fleet.noise)).transpose()
}

/// The way to the server, with the node's key, which is made in `folder` where none is named.
///
/// # Errors
/// If no server is named, or a certificate or the key cannot be used.
pub fn connect(fleet: &FleetFile, folder: &Path) -> Result<SuperLink> {
    let server = fleet.superlink.clone().context("no SuperLink given, expected HOST:PORT")?;
    let connection =
        Connection { server, root_certificates: fleet.root_certificates.clone(), insecure: fleet.insecure };
    let key = NodeKey::load_or_make(&fleet.key.clone().unwrap_or_else(|| folder.join("node.key")))?;
    Ok(SuperLink::new(Client::new(&connection, key)?))
}

/// Joins with the photos of `options` and works until `stop`.
///
/// # Errors
/// If data, weights, server or disk refuse. A network that is down is waited for.
pub fn take_part(fleet: &FleetFile, options: &NodeOptions, stop: &Arc<AtomicBool>) -> Result<()> {
    std::fs::create_dir_all(&options.folder)
        .with_context(|| format!("{}: cannot make the node's folder", options.folder.display()))?;
    // Errors of the connection are told before the photos are read.
    let superlink = connect(fleet, &options.folder)?;
    let mut node = FleetNode::open(options, Arc::clone(stop))?;
    let poll = Duration::from_secs_f64(fleet.poll_s);
    WorkingNode::new(superlink, Mailbox::open(&options.folder)?, &mut node, Arc::clone(stop), poll)?.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_told_before_anything_is_sent() {
        let of = |change: fn(&mut FleetFile)| {
            let mut fleet = FleetFile::default();
            change(&mut fleet);
            check_settings(&fleet).map_err(|e| e.to_string())
        };
        assert_eq!(of(|_| {}), Ok(()));
        assert!(of(|f| f.poll_s = 0.0).unwrap_err().contains("expected 0.1 to 3600"));
        assert!(of(|f| f.noise = 1.0).unwrap_err().contains("without clip_update"));
        assert!(
            of(|f| (f.insecure, f.root_certificates) = (true, Some("a".into()))).unwrap_err().contains("one of them")
        );
        let error = connect(&FleetFile::default(), Path::new(".")).err().expect("no server").to_string();
        assert!(error.contains("no SuperLink given"), "{error}");
    }
}
