//! A node and its server, which loses, repeats, tears and forgets: what is asked is worked on once, and its answer arrives.

use crate::superlink::{FakeSuperLink, Fault, Question};
use anyhow::{Result, bail};
use fieldtune::fleet::array::{ArrayData, ArrayRecord, FleetArray};
use fieldtune::fleet::participant::{Participant, RoundId, SettingValue, Settings, Update};
use fieldtune::fleet::wire::{
    AnswerContent, Client, Connection, MessageMetadata, NodeKey, ObjectId, SuperLink, now, read, write,
};
use fieldtune::fleet::{Mailbox, WorkingNode};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const RUN: u64 = 77;

/// Adds one to every number, and remembers what it was asked.
#[derive(Default)]
struct Adding {
    trained: Vec<String>,
    evaluated: usize,
    /// Fails, as for want of room.
    fails: bool,
    /// Ends the program in the midst of its work.
    cut_off: Option<Arc<AtomicBool>>,
}

impl Participant for Adding {
    fn train(&mut self, round: &RoundId, mut arrays: ArrayRecord, config: &Settings) -> Result<Update> {
        assert_eq!((round.run, config.get("lr")), (RUN, Some(&SettingValue::F64(0.5))));
        if let Some(stop) = self.cut_off.take() {
            stop.store(true, Ordering::Relaxed);
            bail!("stopped");
        }
        if self.fails {
            bail!("no room in /home/someone/photos\nhelp: make some");
        }
        self.trained.push(round.message.clone());
        for (_, array) in &mut arrays {
            let ArrayData::F32(values) = &mut array.data else { panic!("floats were sent") };
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        let metrics = [("num-examples", SettingValue::I64(4)), ("update", SettingValue::Text("float32".into()))];
        Ok(Update { arrays, metrics: metrics.map(|(k, v)| (k.to_string(), v)).into() })
    }

    fn evaluate(&mut self, _: &RoundId, _: ArrayRecord, _: &Settings) -> Result<Settings> {
        self.evaluated += 1;
        Ok([("num-examples".to_string(), SettingValue::I64(2))].into())
    }
}

/// A question with one array of these numbers.
fn question(kind: &str, start: f32) -> Question {
    let arrays = vec![("w".to_string(), FleetArray::floats(&[2, 2], vec![start; 4]))];
    question_of(kind, &arrays, &[("lr".to_string(), SettingValue::F64(0.5))].into())
}

/// A question with these arrays and settings.
pub fn question_of(kind: &str, arrays: &ArrayRecord, config: &Settings) -> Question {
    let asked = MessageMetadata {
        run_id: RUN,
        src_node_id: 1,
        group_id: "1".into(),
        ttl: 3600.0,
        created_at: now(),
        message_type: kind.into(),
        src_task_id: Some(5),
        ..MessageMetadata::default()
    };
    let mut objects = BTreeMap::new();
    let outgoing =
        write(asked, &AnswerContent::Trained { arrays_key: "arrays", arrays, metrics: config }, &mut |id, bytes| {
            objects.insert(id.as_str().to_string(), bytes.to_vec());
            Ok(())
        })
        .expect("memory does not refuse");
    as_config(Question { metadata: outgoing.message.metadata.expect("metadata"), objects })
}

/// The record of numbers as one of settings: both have the same body.
fn as_config(question: Question) -> Question {
    let mut objects = question.objects;
    let take = |objects: &mut BTreeMap<String, Vec<u8>>, kind: &str| {
        let id =
            objects.iter().find(|(_, bytes)| bytes.starts_with(kind.as_bytes())).expect("one of the kind").0.clone();
        let bytes = objects.remove(&id).expect("it was there");
        let end = bytes.iter().position(|b| *b == 0).expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        (id, head, bytes[end + 1..].to_vec())
    };
    let put = |objects: &mut BTreeMap<String, Vec<u8>>, head: String, body: &[u8]| {
        let bytes = [head.as_bytes(), &[0], body].concat();
        let id = ObjectId::of(&bytes).to_string();
        objects.insert(id.clone(), bytes);
        id
    };
    let (metrics, _, body) = take(&mut objects, "MetricRecord ");
    let config = put(&mut objects, format!("ConfigRecord  {}", body.len()), &body);
    let (dict, head, body) = take(&mut objects, "RecordDict ");
    let body = String::from_utf8(body).expect("text").replace(&metrics, &config);
    let new_dict = put(&mut objects, head.replace(&metrics, &config), body.as_bytes());
    let (_, head, body) = take(&mut objects, "Message ");
    let root = put(&mut objects, head.replace(&dict, &new_dict), &body);
    Question { metadata: MessageMetadata { message_id: root, ..question.metadata }, objects }
}

fn connection(server: &FakeSuperLink) -> Connection {
    Connection { server: server.address.to_string(), root_certificates: None, insecure: true }
}

/// Has a node work until `done` or half a minute is over.
fn work(server: &FakeSuperLink, folder: &Path, adding: &mut Adding, done: impl Fn(&FakeSuperLink) -> bool + Sync) {
    let stop = adding.cut_off.clone().unwrap_or_default();
    let key = NodeKey::load_or_make(&folder.join("node.key")).expect("a key");
    let superlink = SuperLink::new(Client::new(&connection(server), key).expect("an address"));
    let mailbox = Mailbox::open(folder).expect("a folder");
    let member =
        WorkingNode::new(superlink, mailbox, adding, Arc::clone(&stop), Duration::from_millis(15)).expect("a node");
    thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while !done(server) && !stop.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(30) {
                thread::sleep(Duration::from_millis(5));
            }
            // Time for what must not happen.
            thread::sleep(Duration::from_millis(60));
            stop.store(true, Ordering::Relaxed);
        });
        member.run().expect("it ends well");
    });
}

/// The numbers of an answer that arrived.
fn numbers(server: &FakeSuperLink, at: usize) -> Vec<f32> {
    let state = server.state();
    let metadata = state.answers[at].metadata.clone().expect("metadata");
    let content =
        read::<Infallible>(&metadata, &mut |id| Ok(state.objects[id.as_str()].clone())).expect("a sound answer");
    assert_eq!(content.config.get("update"), Some(&SettingValue::Text("float32".into())));
    let ArrayData::F32(values) = &content.arrays[0].1.data else { panic!("floats") };
    values.clone()
}

fn answers(count: usize) -> impl Fn(&FakeSuperLink) -> bool + Sync {
    move |server| server.state().answers.len() >= count
}

#[test]
fn a_node_trains_evaluates_and_leaves() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    server.state().questions.extend([question("train", 1.0), question("evaluate", 2.0), question("train", 3.0)]);
    let mut adding = Adding::default();
    work(&server, folder.path(), &mut adding, answers(3));
    assert_eq!((adding.trained.len(), adding.evaluated), (2, 1));
    assert_eq!((numbers(&server, 0), numbers(&server, 2)), (vec![2.0; 4], vec![4.0; 4]));
    let state = server.state();
    let told = state.answers[0].metadata.as_ref().expect("metadata");
    assert_eq!((told.dst_node_id, told.dst_task_id, told.message_type.as_str()), (1, Some(5), "train"));
    assert!(told.ttl > 3500.0 && told.ttl < 3600.0);
    assert_eq!(state.heard["deactivate-node"], 1);
    assert_eq!(state.heard["confirm-message-received"], 3);
    for left in ["message.bin", "reply.bin"] {
        assert!(!folder.path().join(left).exists(), "{left}");
    }
}

#[test]
fn lost_torn_and_senseless_answers_are_asked_for_again() {
    let requests = ["register-node", "activate-node", "pull-messages", "pull-object", "push-messages", "push-object"];
    for fault in [Fault::Deaf, Fault::Status(503), Fault::Torn, Fault::Clock(3600)] {
        let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
        for request in requests {
            // A message whose delivery is torn is lost with Flower: it gives each once.
            if !(request == "pull-messages" && matches!(fault, Fault::Torn)) {
                server.fault(request, fault.clone(), 2);
            }
        }
        server.state().questions.push_back(question("train", 1.0));
        let mut adding = Adding::default();
        work(&server, folder.path(), &mut adding, answers(1));
        assert_eq!((adding.trained.len(), server.state().answers.len()), (1, 1), "{fault:?}");
        assert_eq!(numbers(&server, 0), [2.0; 4]);
    }
}

#[test]
fn what_arrived_although_its_receipt_was_lost_is_not_sent_twice() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    server.fault("push-messages", Fault::Mute, 2);
    server.fault("push-object", Fault::Mute, 2);
    server.state().questions.push_back(question("train", 1.0));
    let mut adding = Adding::default();
    work(&server, folder.path(), &mut adding, answers(1));
    assert_eq!((adding.trained.len(), server.state().answers.len()), (1, 1));
}

#[test]
fn a_message_that_comes_again_is_not_worked_on_again() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    server.state().questions.push_back(question("train", 1.0));
    let mut adding = Adding::default();
    work(&server, folder.path(), &mut adding, answers(1));
    let replayed = {
        let state = server.state();
        let id = state.answers[0].metadata.as_ref().expect("metadata").reply_to_message_id.clone();
        state.question(&id)
    };
    server.state().questions.extend([replayed.clone(), replayed, question("train", 5.0)]);
    work(&server, folder.path(), &mut adding, answers(2));
    assert_eq!((adding.trained.len(), server.state().answers.len()), (2, 2));
    assert_eq!(numbers(&server, 1), [6.0; 4]);
}

#[test]
fn a_node_that_was_killed_goes_on_with_its_message() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    server.state().questions.push_back(question("train", 1.0));
    // In the midst of its work: the message is on disk, and the server has it delivered.
    let mut adding = Adding { cut_off: Some(Arc::default()), ..Adding::default() };
    work(&server, folder.path(), &mut adding, answers(1));
    assert!(folder.path().join("message.bin").exists() && server.state().answers.is_empty());
    // In the midst of sending: the answer is on disk, and half of it is there.
    server.fault("push-object", Fault::Status(503), 1000);
    let pushed = |server: &FakeSuperLink| server.state().heard.get("push-object").copied().unwrap_or_default() >= 2;
    work(&server, folder.path(), &mut adding, pushed);
    assert!(folder.path().join("reply.bin").exists() && server.state().answers.is_empty());
    assert_eq!(adding.trained.len(), 1);
    server.state().faults.clear();
    work(&server, folder.path(), &mut adding, answers(1));
    assert_eq!((adding.trained.len(), server.state().answers.len()), (1, 1), "trained once, sent once");
    assert_eq!(numbers(&server, 0), [2.0; 4]);
}

#[test]
fn a_restarted_server_is_joined_anew_and_its_old_rounds_are_left() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    server.state().questions.push_back(question("train", 1.0));
    server.fault("push-messages", Fault::Status(503), 1000);
    let mut adding = Adding::default();
    let pushed = |server: &FakeSuperLink| server.state().heard.get("push-messages").is_some_and(|n| *n >= 2);
    work(&server, folder.path(), &mut adding, pushed);
    server.forget();
    server.state().questions.push_back(question("train", 7.0));
    work(&server, folder.path(), &mut adding, answers(1));
    assert_eq!((adding.trained.len(), server.state().answers.len()), (2, 1));
    assert_eq!(numbers(&server, 0), [8.0; 4]);
    // And one that is restarted while the node is there.
    let restarted = AtomicBool::new(false);
    let again = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut adding = Adding::default();
            let done = |server: &FakeSuperLink| restarted.load(Ordering::Relaxed) && answers(1)(server);
            work(&server, folder.path(), &mut adding, done);
            adding.trained.len()
        });
        thread::sleep(Duration::from_millis(200));
        server.forget();
        restarted.store(true, Ordering::Relaxed);
        server.state().questions.push_back(question("train", 9.0));
        waiting.join().expect("it ends well")
    });
    assert_eq!((again, numbers(&server, 0)), (1, vec![10.0; 4]));
}

#[test]
fn a_round_that_is_over_and_one_whose_time_is_over_are_left() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    let mut late = question("train", 1.0);
    late.metadata.created_at -= 4000.0;
    let mut other = question("train", 1.0);
    other.metadata.run_id = 5;
    server.state().over.insert(5);
    server.state().questions.extend([late, other, question("train", 2.0)]);
    let mut adding = Adding::default();
    work(&server, folder.path(), &mut adding, answers(1));
    assert_eq!((adding.trained.len(), server.state().answers.len()), (1, 1));
    assert_eq!(numbers(&server, 0), [3.0; 4]);
}

#[test]
fn what_goes_wrong_on_the_board_or_in_the_message_is_told_to_the_server() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    server.state().questions.extend([question("train", 1.0), question("dance", 1.0)]);
    let mut adding = Adding { fails: true, ..Adding::default() };
    work(&server, folder.path(), &mut adding, answers(2));
    let state = server.state();
    let reason = |at: usize| state.answers[at].error.clone().map(|error| (error.code, error.reason));
    assert_eq!(reason(0), Some((2, "no room in /home/someone/photos".into())), "its first line");
    assert!(reason(1).is_some_and(|(_, reason)| reason.contains("\"dance\"")));
}

#[test]
fn answers_without_end_or_sense_neither_fill_the_memory_nor_end_the_node() {
    let (server, folder) = (FakeSuperLink::start(), tempfile::tempdir().expect("a folder"));
    for fault in [Fault::Endless, Fault::Nonsense] {
        server.fault("pull-messages", fault, 1);
    }
    server.state().questions.push_back(question("train", 1.0));
    let mut adding = Adding::default();
    work(&server, folder.path(), &mut adding, answers(1));
    assert_eq!(server.state().answers.len(), 1);

    // The objects of a message as well: their round is left out, and the next one is worked on.
    server.fault("pull-object", Fault::Endless, 1);
    server.state().questions.extend([question("train", 1.0), question("train", 2.0)]);
    work(&server, folder.path(), &mut adding, answers(2));
    assert_eq!((adding.trained.len(), numbers(&server, 1)), (2, vec![3.0; 4]));
}
