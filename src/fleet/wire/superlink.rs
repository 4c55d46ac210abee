//! The requests that a node makes of its SuperLink.

use super::client::Client;
use super::error::{ACTIVATION_FAILED, KEY_IN_USE, REGISTRATION_DISABLED, WireError};
use super::object::ObjectId;
use super::outgoing::Outgoing;
use super::proto::{
    ActivateNodeRequest, ConfirmMessageRequest, FleetMessage, HeartbeatRequest, HeartbeatResponse, NodeNumber, Nothing,
    PullMessagesRequest, PullMessagesResponse, PullObjectRequest, PullObjectResponse, PushMessagesRequest,
    PushMessagesResponse, PushObjectRequest, PushObjectResponse, RegisterNodeRequest, WireNode,
};
use std::collections::BTreeSet;

/// Seconds after which a silent node may count as gone, half of what Flower waits.
pub const HEARTBEAT_S: f64 = 60.0;

/// Bytes of an answer without much in it.
const SHORT: u64 = 64 << 10;

/// Bytes of an answer that lists a message's objects.
const LIST: u64 = 2 << 20;

/// Bytes of an answer with an object: chunks have at most 5 MiB, and a head.
const OBJECT: u64 = 8 << 20;

/// A SuperLink as one node sees it.
pub struct SuperLink {
    client: Client,
}

/// The server's reply to an announced answer.
#[derive(Debug)]
pub struct Pushed {
    /// Objects that it has not.
    pub missing: BTreeSet<ObjectId>,
    pub session: String,
}

impl SuperLink {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub fn server(&self) -> &str {
        self.client.server()
    }

    /// Bytes sent and received so far, heads about.
    pub fn traffic(&self) -> (u64, u64) {
        self.client.traffic()
    }

    /// Makes the key known; gives the node's number where it is new. A key that is known already, and a server where keys are
    /// registered by hand, are no errors.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn register(&self) -> Result<Option<u64>, WireError> {
        let request = RegisterNodeRequest { public_key: self.client.public_key().to_vec() };
        match self.client.call::<NodeNumber>("register-node", &request, SHORT) {
            Err(error) if matches!(error.code(), Some(KEY_IN_USE | REGISTRATION_DISABLED)) => Ok(None),
            answer => answer.map(|answer| Some(answer.node_id)),
        }
    }

    /// Comes online; gives the node's number, or `None` where the server says that this key cannot: it is unknown, or still
    /// online since before a crash.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn activate(&self) -> Result<Option<u64>, WireError> {
        let public_key = self.client.public_key().to_vec();
        let request = ActivateNodeRequest { public_key, heartbeat_interval: HEARTBEAT_S };
        match self.client.call::<NodeNumber>("activate-node", &request, SHORT) {
            Err(error) if error.code() == Some(ACTIVATION_FAILED) => Ok(None),
            Ok(NodeNumber { node_id: 0 }) => {
                Err(self.client.malformed("activate-node", "node 0".into(), "a node's number"))
            }
            answer => answer.map(|answer| Some(answer.node_id)),
        }
    }

    /// Goes offline.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn deactivate(&self, node: u64) -> Result<(), WireError> {
        self.client.call::<Nothing>("deactivate-node", &NodeNumber { node_id: node }, SHORT).map(drop)
    }

    /// Says that the node is alive; `false` if the server does not know it.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn heartbeat(&self, node: u64) -> Result<bool, WireError> {
        let request = HeartbeatRequest { node: Some(WireNode { node_id: node }), heartbeat_interval: HEARTBEAT_S };
        self.client.call::<HeartbeatResponse>("send-node-heartbeat", &request, SHORT).map(|answer| answer.success)
    }

    /// The next message, if there is one. The server gives each only once: keep it before anything else.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn pull_message(&self, node: u64) -> Result<Option<FleetMessage>, WireError> {
        let request = PullMessagesRequest { node: Some(WireNode { node_id: node }) };
        let answer: PullMessagesResponse = self.client.call("pull-messages", &request, LIST)?;
        Ok(answer.messages.into_iter().next())
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// [`WireError`]: a passing one while the server itself waits for the object, [`WireError::Malformed`] if there is none.
    pub fn pull_object(&self, node: u64, run: u64, id: &ObjectId) -> Result<Vec<u8>, WireError> {
        let request =
            PullObjectRequest { node: Some(WireNode { node_id: node }), run_id: run, object_id: id.as_str().into() };
        let answer: PullObjectResponse = self.client.call("pull-object", &request, OBJECT)?;
        if !answer.object_found {
            return Err(self.client.malformed(
                "pull-object",
                format!("no object {id}"),
                "those that its message names",
            ));
        }
        if !answer.object_available {
            return Err(WireError::Absent { server: self.server().into(), object: id.to_string() });
        }
        Ok(answer.object_content)
    }

    /// Says that a message's objects are not needed any more.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn confirm(&self, node: u64, run: u64, message_id: &str) -> Result<(), WireError> {
        let node = Some(WireNode { node_id: node });
        let request = ConfirmMessageRequest { node, run_id: run, message_object_id: message_id.into() };
        self.client.call::<Nothing>("confirm-message-received", &request, SHORT).map(drop)
    }

    /// Announces an answer; gives which of its objects are to be sent. The same answer may be announced again.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn push_message(&self, node: u64, answer: &Outgoing, seconds: f64) -> Result<Pushed, WireError> {
        let request = PushMessagesRequest {
            node: Some(WireNode { node_id: node }),
            messages: vec![answer.message.clone()],
            trees: vec![answer.tree.clone()],
            runtimes: vec![seconds],
        };
        let pushed: PushMessagesResponse = self.client.call("push-messages", &request, LIST)?;
        let missing = pushed.objects_to_push.iter().filter_map(|id| ObjectId::parse(id)).collect();
        Ok(Pushed { missing, session: pushed.session_id })
    }

    /// Sends an object; `false` if the server does not take it, such as for want of a session.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn push_object(
        &self,
        node: u64,
        run: u64,
        session: &str,
        id: &ObjectId,
        content: Vec<u8>,
    ) -> Result<bool, WireError> {
        let request = PushObjectRequest {
            node: Some(WireNode { node_id: node }),
            run_id: run,
            object_id: id.as_str().into(),
            object_content: content,
            session_id: session.into(),
        };
        self.client.call::<PushObjectResponse>("push-object", &request, SHORT).map(|answer| answer.stored)
    }
}
