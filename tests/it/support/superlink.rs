//! A SuperLink in this process, after Flower's own, that misbehaves as it is told.

use fieldtune::fleet::wire::{FleetMessage, MessageMetadata, ObjectId, ObjectTree};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A node counts as online for so long: Flower's two minutes, in short.
const SILENCE: Duration = Duration::from_millis(500);

/// The fate of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection closes before the request is heard.
    Deaf,
    /// The request is carried out, and its answer is lost.
    Mute,
    Status(u16),
    /// A 401 by a server whose clock is so many seconds behind this machine's.
    Clock(i64),
    /// The answer ends in its middle.
    Torn,
    /// The answer is another than Protocol Buffers.
    Nonsense,
    /// An answer of ten gigabytes is announced, and begun.
    Endless,
}

/// A message for nodes, with its objects.
#[derive(Clone)]
pub struct Question {
    pub metadata: MessageMetadata,
    pub objects: BTreeMap<String, Vec<u8>>,
}

/// The server's memory.
#[derive(Default)]
pub struct State {
    /// The number of each public key's node.
    nodes: BTreeMap<Vec<u8>, u64>,
    /// Since when, as long as they are.
    online: BTreeMap<u64, Instant>,
    numbers: u64,
    /// Each is given once.
    pub questions: VecDeque<Question>,
    /// All there ever were, by their id.
    asked: BTreeMap<String, Question>,
    /// Answers whose objects are all here, in order.
    pub answers: Vec<FleetMessage>,
    announced: BTreeMap<String, (FleetMessage, BTreeSet<String>)>,
    pub objects: BTreeMap<String, Vec<u8>>,
    /// For the next requests of a name.
    pub faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// Requests by name.
    pub heard: BTreeMap<String, usize>,
    /// Runs that are over.
    pub over: BTreeSet<u64>,
}

/// A server that listens until the program ends.
pub struct FakeSuperLink {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeSuperLink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked")
    }

    /// As Flower's does without a database when it is started again: it knows nobody and nothing.
    pub fn forget(&self) {
        let mut state = self.state();
        let numbers = state.numbers;
        *state = State { numbers, ..State::default() };
    }

    pub fn fault(&self, request: &'static str, fault: Fault, times: usize) {
        self.state().faults.entry(request).or_default().extend(std::iter::repeat_n(fault, times));
    }
}

/// Answers requests of a connection.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some((path, headers, body)) = request(&mut reader) {
        let name = path.trim_start_matches("/v1/fleet/").to_string();
        let fault = {
            let mut state = state.lock().expect("no thread panicked");
            *state.heard.entry(name.clone()).or_default() += 1;
            state.faults.get_mut(name.as_str()).and_then(VecDeque::pop_front)
        };
        let mut out = stream;
        let head = |status: u16, length: u64, date: i64| {
            let date = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - date).expect("a time");
            let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT");
            format!(
                "HTTP/1.1 {status} X\r\ndate: {date}\r\ncontent-length: {length}\r\ncontent-type: application/protobuf\r\n\r\n"
            )
        };
        let written = match fault {
            Some(Fault::Deaf) => return,
            Some(Fault::Status(status)) => write!(out, "{}", head(status, 0, 0)),
            Some(Fault::Clock(ahead)) => write!(out, "{}", head(401, 0, ahead)),
            Some(Fault::Nonsense) => write!(out, "{}\u{7f}\u{7f}\u{7f}", head(200, 3, 0)),
            Some(Fault::Endless) => {
                let _ = write!(out, "{}", head(200, 10_000_000_000, 0));
                let piece = vec![0x0a; 1 << 20];
                while out.write_all(&piece).is_ok() {}
                return;
            }
            None | Some(Fault::Mute | Fault::Torn) => {
                let mut state = state.lock().expect("no thread panicked");
                let (status, answer) = match is_signed(&headers, &name, &body, &state) {
                    true => state.answer(&name, &body, &headers),
                    false => (401, Vec::new()),
                };
                drop(state);
                match fault {
                    Some(Fault::Mute) => return,
                    Some(Fault::Torn) => {
                        let _ = write!(out, "{}", head(200, answer.len() as u64 + 10, 0));
                        let _ = out.write_all(&answer);
                        return;
                    }
                    _ => write!(out, "{}", head(status, answer.len() as u64, 0)).and_then(|()| out.write_all(&answer)),
                }
            }
        };
        if written.is_err() {
            return;
        }
    }
}

type Headers = BTreeMap<String, String>;

fn request(reader: &mut impl BufRead) -> Option<(String, Headers, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_string();
    let mut headers = Headers::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_string());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((path, headers, body))
}

/// As Flower judges it, but for the time.
fn is_signed(headers: &Headers, name: &str, body: &[u8], state: &State) -> bool {
    let of = |name: &str| headers.get(name).and_then(|text| STANDARD.decode(text).ok());
    let (Some(key), Some(signature)) = (of("flwr-public-key"), of("flwr-signature")) else { return false };
    let time = headers.get("flwr-timestamp").cloned().unwrap_or_default();
    assert!(time.len() == "2026-12-01T04:30:00.123456+00:00".len() && time.ends_with("+00:00"), "{time}");
    let verifying = VerifyingKey::from_public_key_pem(std::str::from_utf8(&key).expect("PEM is text")).expect("a key");
    let signature = Signature::from_der(&signature).expect("a signature");
    if verifying.verify(time.as_bytes(), &signature).is_err() {
        return false;
    }
    if name == "register-node" || name == "activate-node" {
        return Fields::of(body).bytes(1) == key;
    }
    let fields = Fields::of(body);
    let node = if name.ends_with("ate-node") { fields.number(1) } else { Fields::of(&fields.bytes(1)).number(1) };
    state.nodes.get(&key) == Some(&node)
}

impl State {
    /// A question that was given to a node, as the node got it.
    pub fn question(&self, id: &str) -> Question {
        self.asked[id].clone()
    }

    fn answer(&mut self, name: &str, body: &[u8], _headers: &Headers) -> (u16, Vec<u8>) {
        let fields = Fields::of(body);
        let refused = |status, code: u32| (status, format!("{{\"code\": {code}, \"detail\": \"no\"}}").into_bytes());
        match name {
            "register-node" => {
                if self.nodes.contains_key(&fields.bytes(1)) {
                    return refused(412, 23);
                }
                self.numbers += 1;
                // Flower's are as large as that.
                let number = (1 << 63) + self.numbers;
                self.nodes.insert(fields.bytes(1), number);
                (200, number_field(1, number))
            }
            "activate-node" => match self.nodes.get(&fields.bytes(1)).copied() {
                Some(node) if self.online.get(&node).is_none_or(|since| since.elapsed() > SILENCE) => {
                    self.online.insert(node, Instant::now());
                    (200, number_field(1, node))
                }
                _ => refused(412, 2004),
            },
            "deactivate-node" => (if self.online.remove(&fields.number(1)).is_some() { 200 } else { 412 }, Vec::new()),
            "send-node-heartbeat" => (200, number_field(1, 1)),
            "pull-messages" => {
                let node = Fields::of(&fields.bytes(1)).number(1);
                let Some(mut question) = self.questions.pop_front() else { return (200, Vec::new()) };
                if question.metadata.dst_node_id == 0 {
                    question = addressed(&question, node);
                }
                self.asked.insert(question.metadata.message_id.clone(), question.clone());
                let message = FleetMessage { metadata: Some(question.metadata), content: None, error: None };
                (200, bytes_field(2, &message.encode_to_vec()))
            }
            "pull-object" => {
                let (run, id) = (fields.number(2), String::from_utf8(fields.bytes(3)).expect("an id"));
                if self.over.contains(&run) {
                    return refused(403, 2007);
                }
                let found = self.asked.values().find_map(|question| question.objects.get(&id));
                let bytes = found.map(|bytes| [number_field(2, 1), bytes_field(3, bytes)].concat());
                (200, bytes.map_or_else(Vec::new, |rest| [number_field(1, 1), rest].concat()))
            }
            "push-messages" => self.announce(&fields),
            "push-object" => {
                let (run, id) = (fields.number(2), String::from_utf8(fields.bytes(3)).expect("an id"));
                if self.over.contains(&run) {
                    return refused(403, 2007);
                }
                let bytes = fields.bytes(4);
                assert_eq!(ObjectId::of(&bytes).as_str(), id, "an object by another's name");
                self.objects.insert(id, bytes);
                self.complete();
                (200, number_field(1, 1))
            }
            "confirm-message-received" => (200, Vec::new()),
            other => panic!("{other}: no such request"),
        }
    }

    fn announce(&mut self, fields: &Fields) -> (u16, Vec<u8>) {
        let message = FleetMessage::decode(&fields.bytes(2)[..]).expect("a message");
        let tree = ObjectTree::decode(&fields.bytes(3)[..]).expect("a tree");
        let metadata = message.metadata.clone().expect("metadata");
        if self.over.contains(&metadata.run_id) {
            return (403, b"{\"code\": 2007, \"detail\": \"no\"}".to_vec());
        }
        let asked = self.asked.get(&metadata.reply_to_message_id).expect("an answer to a question");
        assert_eq!(asked.metadata.dst_node_id, metadata.src_node_id);
        assert_eq!(tree.object_id, metadata.message_id);
        let mut ids = BTreeSet::new();
        gather(&tree, &mut ids);
        let missing = ids.iter().filter(|id| !self.objects.contains_key(*id));
        let missing: Vec<u8> = missing.flat_map(|id| bytes_field(3, id.as_bytes())).collect();
        self.announced.insert(metadata.message_id, (message, ids));
        self.complete();
        (200, [missing, bytes_field(4, b"session")].concat())
    }

    /// Moves answers that are complete to those that count.
    fn complete(&mut self) {
        let whole = |(_, (_, ids)): &(&String, &(FleetMessage, BTreeSet<String>))| {
            ids.iter().all(|id| self.objects.contains_key(id))
        };
        let done: Vec<String> = self.announced.iter().filter(whole).map(|(id, _)| id.clone()).collect();
        for id in done {
            let (message, _) = self.announced.remove(&id).expect("it was there");
            if !self.answers.contains(&message) {
                self.answers.push(message);
            }
        }
    }
}

fn gather(tree: &ObjectTree, ids: &mut BTreeSet<String>) {
    ids.insert(tree.object_id.clone());
    tree.children.iter().for_each(|child| gather(child, ids));
}

/// A question for this node: its root is written anew.
pub fn addressed(question: &Question, node: u64) -> Question {
    let metadata = MessageMetadata { dst_node_id: node, ..question.metadata.clone() };
    let before = &question.objects[&metadata.message_id];
    let head = before.split(|b| *b == 0).next().expect("a head");
    let children = String::from_utf8_lossy(head).split(' ').nth(1).expect("children").to_string();
    let own = MessageMetadata { message_id: String::new(), ..metadata.clone() };
    let body = FleetMessage { metadata: Some(own), content: None, error: None }.encode_to_vec();
    let bytes = [format!("Message {children} {}\0", body.len()).as_bytes(), &body].concat();
    let id = ObjectId::of(&bytes).to_string();
    let mut objects = question.objects.clone();
    objects.insert(id.clone(), bytes);
    Question { metadata: MessageMetadata { message_id: id, ..metadata }, objects }
}

/// Fields of a Protocol Buffers message by number: written here once more, so that the node's own reader is not its judge.
struct Fields(BTreeMap<u64, (u64, Vec<u8>)>);

impl Fields {
    fn of(mut bytes: &[u8]) -> Self {
        let mut all = BTreeMap::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => (varint(&mut bytes), Vec::new()),
                1 => (0, take(&mut bytes, 8)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    (0, take(&mut bytes, length))
                }
                wire => panic!("wire type {wire}"),
            };
            all.insert(key >> 3, value);
        }
        Self(all)
    }

    fn number(&self, field: u64) -> u64 {
        self.0.get(&field).map_or(0, |(number, _)| *number)
    }

    fn bytes(&self, field: u64) -> Vec<u8> {
        self.0.get(&field).map_or_else(Vec::new, |(_, bytes)| bytes.clone())
    }
}

fn take(bytes: &mut &[u8], count: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken.to_vec()
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn put_varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number_field(field: u64, value: u64) -> Vec<u8> {
    [put_varint(field << 3), put_varint(value)].concat()
}

fn bytes_field(field: u64, value: &[u8]) -> Vec<u8> {
    [put_varint(field << 3 | 2), put_varint(value.len() as u64), value.to_vec()].concat()
}
