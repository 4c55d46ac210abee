//! Flower's messages, written after the wire format of its Fleet API (version 1.42), field numbers and all.
//!
//! Only what a node sends or reads is here; fields that it ignores are left out, as Protocol Buffers allow.

use prost::{Message as ProtoMessage, Oneof};

#[derive(Clone, Copy, PartialEq, ProtoMessage)]
pub struct WireNode {
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct RegisterNodeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub public_key: Vec<u8>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct ActivateNodeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub public_key: Vec<u8>,
    /// Seconds.
    #[prost(double, tag = "2")]
    pub heartbeat_interval: f64,
}

/// Both the answer to registering or activating and the request to leave.
#[derive(Clone, Copy, PartialEq, ProtoMessage)]
pub struct NodeNumber {
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
}

#[derive(Clone, Copy, PartialEq, ProtoMessage)]
pub struct HeartbeatRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<WireNode>,
    /// Seconds.
    #[prost(double, tag = "2")]
    pub heartbeat_interval: f64,
}

#[derive(Clone, Copy, PartialEq, ProtoMessage)]
pub struct HeartbeatResponse {
    #[prost(bool, tag = "1")]
    pub success: bool,
}

/// An answer without content.
#[derive(Clone, Copy, PartialEq, ProtoMessage)]
pub struct Nothing {}

#[derive(Clone, Copy, PartialEq, ProtoMessage)]
pub struct PullMessagesRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<WireNode>,
}

/// The trees of the messages' objects are left out: the objects themselves tell what is below them.
#[derive(Clone, PartialEq, ProtoMessage)]
pub struct PullMessagesResponse {
    #[prost(message, repeated, tag = "2")]
    pub messages: Vec<FleetMessage>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct PushMessagesRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<WireNode>,
    #[prost(message, repeated, tag = "2")]
    pub messages: Vec<FleetMessage>,
    #[prost(message, repeated, tag = "3")]
    pub trees: Vec<ObjectTree>,
    /// Seconds that the work took.
    #[prost(double, repeated, tag = "4")]
    pub runtimes: Vec<f64>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct PushMessagesResponse {
    #[prost(string, repeated, tag = "3")]
    pub objects_to_push: Vec<String>,
    #[prost(string, tag = "4")]
    pub session_id: String,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct PushObjectRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<WireNode>,
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    #[prost(string, tag = "3")]
    pub object_id: String,
    #[prost(bytes = "vec", tag = "4")]
    pub object_content: Vec<u8>,
    #[prost(string, tag = "5")]
    pub session_id: String,
}

#[derive(Clone, Copy, PartialEq, ProtoMessage)]
pub struct PushObjectResponse {
    #[prost(bool, tag = "1")]
    pub stored: bool,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct PullObjectRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<WireNode>,
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    #[prost(string, tag = "3")]
    pub object_id: String,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct PullObjectResponse {
    #[prost(bool, tag = "1")]
    pub object_found: bool,
    #[prost(bool, tag = "2")]
    pub object_available: bool,
    #[prost(bytes = "vec", tag = "3")]
    pub object_content: Vec<u8>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct ConfirmMessageRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<WireNode>,
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    #[prost(string, tag = "3")]
    pub message_object_id: String,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct ObjectTree {
    #[prost(string, tag = "1")]
    pub object_id: String,
    #[prost(message, repeated, tag = "2")]
    pub children: Vec<ObjectTree>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct FleetMessage {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<MessageMetadata>,
    /// Empty on the wire: the content travels as objects.
    #[prost(message, optional, tag = "2")]
    pub content: Option<Nothing>,
    #[prost(message, optional, tag = "3")]
    pub error: Option<Failure>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct MessageMetadata {
    #[prost(uint64, tag = "1")]
    pub run_id: u64,
    #[prost(string, tag = "2")]
    pub message_id: String,
    #[prost(uint64, tag = "3")]
    pub src_node_id: u64,
    #[prost(uint64, tag = "4")]
    pub dst_node_id: u64,
    #[prost(string, tag = "5")]
    pub reply_to_message_id: String,
    /// The round's number, in words.
    #[prost(string, tag = "6")]
    pub group_id: String,
    /// Seconds after `created_at` until which the message counts.
    #[prost(double, tag = "7")]
    pub ttl: f64,
    #[prost(string, tag = "8")]
    pub message_type: String,
    /// Seconds since 1970.
    #[prost(double, tag = "9")]
    pub created_at: f64,
    #[prost(uint64, optional, tag = "10")]
    pub src_task_id: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    pub dst_task_id: Option<u64>,
}

/// The reason that a message was not answered.
#[derive(Clone, PartialEq, ProtoMessage)]
pub struct Failure {
    #[prost(sint64, tag = "1")]
    pub code: i64,
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// The body of a ConfigRecord, and of a MetricRecord, whose values are some of the same.
#[derive(Clone, PartialEq, ProtoMessage)]
pub struct RecordBody {
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<RecordItem>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct RecordItem {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<RecordValue>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct RecordValue {
    #[prost(oneof = "RecordKind", tags = "1, 2, 3, 4, 5, 6, 21, 22, 23, 24, 25, 26")]
    pub kind: Option<RecordKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum RecordKind {
    #[prost(double, tag = "1")]
    Double(f64),
    #[prost(sint64, tag = "2")]
    Signed(i64),
    #[prost(uint64, tag = "3")]
    Unsigned(u64),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(string, tag = "5")]
    Text(String),
    #[prost(bytes = "vec", tag = "6")]
    Bytes(Vec<u8>),
    #[prost(message, tag = "21")]
    Doubles(Doubles),
    #[prost(message, tag = "22")]
    Signeds(Signeds),
    #[prost(message, tag = "23")]
    Unsigneds(Unsigneds),
    #[prost(message, tag = "24")]
    Bools(Bools),
    #[prost(message, tag = "25")]
    Texts(Texts),
    #[prost(message, tag = "26")]
    Blobs(Blobs),
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct Doubles {
    #[prost(double, repeated, tag = "1")]
    pub values: Vec<f64>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct Signeds {
    #[prost(sint64, repeated, tag = "1")]
    pub values: Vec<i64>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct Unsigneds {
    #[prost(uint64, repeated, tag = "1")]
    pub values: Vec<u64>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct Bools {
    #[prost(bool, repeated, tag = "1")]
    pub values: Vec<bool>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct Texts {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, ProtoMessage)]
pub struct Blobs {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub values: Vec<Vec<u8>>,
}
