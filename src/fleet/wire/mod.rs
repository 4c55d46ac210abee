//! Flower's wire: messages over HTTP, objects named by their hash, signed requests.

mod client;
mod error;
mod incoming;
mod key;
mod npy;
mod object;
mod outgoing;
mod proto;
mod record;
mod superlink;

pub use client::{Client, Connection};
pub use error::{RUN_NOT_RUNNING, WireError};
pub use incoming::{Content, Fetch, MessageFault, read};
pub use key::NodeKey;
pub use object::ObjectId;
pub use outgoing::{AnswerContent, NOTES, ObjectSink, Outgoing, now, reply_to, write};
pub use proto::{Failure, FleetMessage, MessageMetadata, ObjectTree};
pub use superlink::{HEARTBEAT_S, Pushed, SuperLink};
