//! The files of a node between its messages: the one it works on, the answer that waits to be sent, and which were answered.
//!
//! A server gives a message once. So it is on disk before anything else happens, and stays until its answer has arrived:
//! after a power cut the node goes on with it. A message that was answered is not worked on again.

use super::reply_file::ReplyFile;
use super::wire::MessageMetadata;
use crate::train::replace_file;
use anyhow::{Context, Result};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Messages that are remembered as answered.
const REMEMBERED: usize = 1000;

/// Longest file that is read: ids of answered messages, or a message without content.
const LONGEST_FILE: u64 = 1 << 20;

/// The facts that outlast a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct MailboxNotes {
    /// This node's number at its server as text, as TOML has no numbers above 2^63; empty before it has one.
    node: String,
    /// Ids of messages, the newest last.
    answered: Vec<String>,
}

/// A node's folder.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    notes: MailboxNotes,
}

impl Mailbox {
    /// Opens a folder that exists.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("node.toml");
        let notes = match read(&path)? {
            None => MailboxNotes::default(),
            Some(bytes) => {
                std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str(text).ok()).unwrap_or_else(|| {
                    log::warn!("{}: damaged; the node joins as a new one", path.display());
                    MailboxNotes::default()
                })
            }
        };
        Ok(Self { folder: folder.into(), notes })
    }

    /// This node's number at its server, if it had one when it was last there.
    pub fn node(&self) -> Option<u64> {
        self.notes.node.parse().ok()
    }

    /// # Errors
    /// If the disk refuses.
    pub fn set_node(&mut self, node: u64) -> Result<()> {
        if self.node() != Some(node) {
            self.notes.node = node.to_string();
            self.save()?;
        }
        Ok(())
    }

    pub fn was_answered(&self, message: &str) -> bool {
        self.notes.answered.iter().any(|id| id == message)
    }

    /// Keeps a message until [`Self::close`].
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep(&self, message: &MessageMetadata) -> Result<()> {
        let bytes = message.encode_to_vec();
        Ok(replace_file(&self.pending_path(), |path| fs::write(path, &bytes), |_| Ok(()))?)
    }

    /// The message that is worked on.
    ///
    /// # Errors
    /// If it cannot be read. A damaged one is told and left out.
    pub fn pending(&self) -> Result<Option<MessageMetadata>> {
        let path = self.pending_path();
        let Some(bytes) = read(&path)? else { return Ok(None) };
        match MessageMetadata::decode(&bytes[..]) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) => {
                log::warn!("{}: damaged ({error}); its round is left out", path.display());
                Ok(None)
            }
        }
    }

    /// The answer that waits to be sent.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn reply(&self) -> Result<Option<ReplyFile>> {
        ReplyFile::read(&self.reply_path())
    }

    pub fn reply_path(&self) -> PathBuf {
        self.folder.join("reply.bin")
    }

    /// The message was answered, or its round is over: it is remembered, and its files go.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn close(&mut self, message: &str) -> Result<()> {
        if !self.was_answered(message) {
            let surplus = (self.notes.answered.len() + 1).saturating_sub(REMEMBERED);
            self.notes.answered.drain(..surplus);
            self.notes.answered.push(message.into());
            self.save()?;
        }
        // The answer goes first: without its message nothing is worked on again.
        for path in [self.pending_path(), self.reply_path()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{}: cannot remove", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn pending_path(&self) -> PathBuf {
        self.folder.join("message.bin")
    }

    fn save(&self) -> Result<()> {
        let text = toml::to_string(&self.notes).context("cannot write the node's notes")?;
        Ok(replace_file(&self.folder.join("node.toml"), |path| fs::write(path, &text), |_| Ok(()))?)
    }
}

/// A short file's bytes; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let refused = || format!("{}: cannot read", path.display());
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(refused),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut bytes).with_context(refused)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_until_it_is_closed_and_is_remembered_then() {
        let folder = tempfile::tempdir().unwrap();
        let mut mailbox = Mailbox::open(folder.path()).unwrap();
        mailbox.set_node(u64::MAX).unwrap();
        let message = MessageMetadata { message_id: "a".into(), run_id: 7, ..MessageMetadata::default() };
        mailbox.keep(&message).unwrap();
        let mut again = Mailbox::open(folder.path()).unwrap();
        assert_eq!((again.node(), again.pending().unwrap()), (Some(u64::MAX), Some(message)));
        again.close("a").unwrap();
        let again = Mailbox::open(folder.path()).unwrap();
        assert!(again.was_answered("a") && !again.was_answered("b"));
        assert_eq!(again.pending().unwrap(), None);
    }

    #[test]
    fn the_oldest_is_forgotten_and_damage_is_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut mailbox = Mailbox::open(folder.path()).unwrap();
        mailbox.notes.answered = (0..REMEMBERED).map(|i| i.to_string()).collect();
        mailbox.close("new").unwrap();
        assert!(!mailbox.was_answered("0") && mailbox.was_answered("1") && mailbox.was_answered("new"));
        fs::write(folder.path().join("node.toml"), "node = [").unwrap();
        fs::write(folder.path().join("message.bin"), [0xff; 9]).unwrap();
        fs::write(folder.path().join("reply.bin"), [0; 99]).unwrap();
        let mailbox = Mailbox::open(folder.path()).unwrap();
        assert_eq!(mailbox.node(), None);
        assert!(mailbox.pending().unwrap().is_none() && mailbox.reply().unwrap().is_none());
    }
}
