//! A node at work: it waits for messages, has each worked on once, and sends the answers.
//!
//! A message goes through these steps, each of which can be repeated after a power cut: kept on disk, its content fetched,
//! worked on, the answer kept on disk, sent, and both forgotten. Before the answer is on disk, the server is not told that
//! the message arrived: its content can be fetched again then, and need not be written to the card.

use super::federation::{Federation, FederationStep};
use super::mailbox::Mailbox;
use super::participant::{Participant, RoundId};
use super::patience::{scattered, sleep};
use super::reply_file::ReplyFile;
use super::wire::{
    AnswerContent, Content, MessageFault, MessageMetadata, ObjectId, SuperLink, WireError, now, read, reply_to, write,
};
use anyhow::{Result, anyhow, bail};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// After so long without a message, questions become rarer: each costs about 800 bytes.
const QUIET: Duration = Duration::from_secs(600);

/// The time between such questions, in polls.
const RARER: u32 = 10;

/// Announcements of one answer before it is given up: the server asked for objects each time, and took none.
const ANNOUNCEMENTS: usize = 5;

/// Longest id and type of a message, in bytes.
const LONGEST_WORD: usize = 64;

/// A node at work.
pub struct WorkingNode<'a> {
    federation: Federation,
    mailbox: Mailbox,
    participant: &'a mut dyn Participant,
    /// Time between two questions for messages during a run.
    poll: Duration,
}

impl<'a> WorkingNode<'a> {
    /// A node that has not joined yet, and that asks for messages once in `poll` while there are some; `stop` ends it.
    ///
    /// # Errors
    /// If there can be no thread for its heartbeat.
    pub fn new(
        superlink: SuperLink,
        mailbox: Mailbox,
        participant: &'a mut dyn Participant,
        stop: Arc<AtomicBool>,
        poll: Duration,
    ) -> Result<Self> {
        let federation = Federation::new(superlink, stop, (poll / 3).max(Duration::from_millis(1)))?;
        Ok(Self { federation, mailbox, participant, poll })
    }

    /// Joins, and works until it has to stop; then leaves.
    ///
    /// # Errors
    /// If the server cannot be trusted, or the disk refuses. A network that is down is waited for.
    pub fn run(mut self) -> Result<()> {
        let result = self.work();
        self.federation.leave();
        let (sent, received) = self.federation.traffic();
        log::info!("left; {} sent and {} received in all", megabytes(sent), megabytes(received));
        result
    }

    fn work(&mut self) -> Result<()> {
        let mut is_member = self.federation.join(self.mailbox.node())?;
        let mut last_message = Instant::now();
        while is_member && !self.federation.is_stopping() {
            if self.federation.is_lost() {
                is_member = self.federation.join(self.mailbox.node())?;
                continue;
            }
            self.mailbox.set_node(self.federation.node())?;
            if let Some(message) = self.mailbox.pending()? {
                self.serve(&message)?;
                last_message = Instant::now();
                continue;
            }
            match self.federation.ask(None, SuperLink::pull_message)? {
                FederationStep::Done(Some(message)) => {
                    self.take(message.metadata)?;
                    last_message = Instant::now();
                }
                FederationStep::Done(None) => {
                    let poll = self.poll * if last_message.elapsed() < QUIET { 1 } else { RARER };
                    sleep(scattered(poll), self.federation.stop());
                }
                FederationStep::Over(reason) => {
                    log::warn!("{reason}");
                    sleep(scattered(self.poll * RARER), self.federation.stop());
                }
                FederationStep::Stopped => {}
            }
        }
        Ok(())
    }

    /// Keeps a message that came, if it is for this node and new.
    fn take(&mut self, metadata: Option<MessageMetadata>) -> Result<()> {
        let server = self.federation.server();
        let Some(message) = metadata else {
            log::warn!("{server}: it sent a message without a head; left out");
            return Ok(());
        };
        let is_short = message.message_id.len() <= LONGEST_WORD && message.message_type.len() <= LONGEST_WORD;
        if message.dst_node_id != self.federation.node() || !is_short {
            log::warn!("{server}: it sent a message that is not for this node; left out");
            return Ok(());
        }
        if self.mailbox.was_answered(&message.message_id) {
            log::warn!("{}: it was answered before; left out", told(&message));
            return Ok(());
        }
        log::info!("{}: received", told(&message));
        self.mailbox.keep(&message)
    }

    /// Brings a kept message to its end.
    fn serve(&mut self, message: &MessageMetadata) -> Result<()> {
        if self.mailbox.was_answered(&message.message_id) {
            // Forgetting it was cut off.
            return self.mailbox.close(&message.message_id);
        }
        if message.dst_node_id != self.federation.node() {
            log::info!("{}: left out: the server that asked for it knew this node by another number", told(message));
            return self.mailbox.close(&message.message_id);
        }
        let before = self.federation.traffic();
        let outcome = match self.mailbox.reply()?.filter(|reply| is_answer_to(reply, message)) {
            Some(reply) => FederationStep::Done(reply),
            None => self.answer(message)?,
        };
        let outcome = match outcome {
            FederationStep::Done(reply) => self.send(message, &reply)?.map(|()| reply.seconds),
            FederationStep::Over(reason) => FederationStep::Over(reason),
            FederationStep::Stopped => FederationStep::Stopped,
        };
        match outcome {
            FederationStep::Stopped => return Ok(()),
            FederationStep::Over(reason) => log::info!("{}: left out: {reason}", told(message)),
            FederationStep::Done(seconds) => {
                self.confirm(message);
                let after = self.federation.traffic();
                let (sent, received) = (megabytes(after.0 - before.0), megabytes(after.1 - before.1));
                log::info!("{}: answered, {seconds:.0} s of work; {sent} sent, {received} received", told(message));
            }
        }
        self.mailbox.close(&message.message_id)
    }

    /// Tells the server that the message's content may go; a courtesy, as its answer is there.
    fn confirm(&mut self, message: &MessageMetadata) {
        let confirmed = self
            .federation
            .ask(Some(message), |superlink, node| Ok(superlink.confirm(node, message.run_id, &message.message_id)));
        if let Ok(FederationStep::Done(Err(error))) = confirmed {
            log::debug!("{}: not confirmed: {error}", told(message));
        }
    }

    /// Fetches a message's content, has it worked on, and keeps the answer.
    fn answer(&mut self, message: &MessageMetadata) -> Result<FederationStep<ReplyFile>> {
        let content = match self.fetch(message)? {
            FederationStep::Done(content) => content,
            FederationStep::Over(reason) => return Ok(FederationStep::Over(reason)),
            FederationStep::Stopped => return Ok(FederationStep::Stopped),
        };
        let started = Instant::now();
        let round = RoundId { run: message.run_id, message: message.message_id.clone() };
        let answered = content.and_then(|Content { arrays_key, arrays, config }| match message.message_type.as_str() {
            "train" => {
                let update = self.participant.train(&round, arrays, &config)?;
                Ok((update.metrics, Some((arrays_key, update.arrays))))
            }
            "evaluate" => Ok((self.participant.evaluate(&round, arrays, &config)?, None)),
            kind => bail!("messages of type {kind:?} are not understood, expected \"train\" or \"evaluate\""),
        });
        if answered.is_err() && self.federation.is_stopping() {
            // Whatever ended early, the message is worked on at the next start.
            return Ok(FederationStep::Stopped);
        }
        let reason = answered.as_ref().err().map(|error| {
            log::error!("{}: {error:#}", told(message));
            // Lines of help are for the board's owner.
            format!("{error:#}").lines().next().unwrap_or_default().to_string()
        });
        let answer = match &answered {
            Ok((metrics, Some((arrays_key, arrays)))) => AnswerContent::Trained { arrays_key, arrays, metrics },
            Ok((metrics, None)) => AnswerContent::Evaluated { metrics },
            Err(_) => AnswerContent::Failed { reason: reason.as_deref().unwrap_or_default() },
        };
        let (metadata, seconds) = (reply_to(message, now()), started.elapsed().as_secs_f64());
        if metadata.ttl <= 0.0 {
            return Ok(FederationStep::Over("its time was over before the work was done".into()));
        }
        let path = self.mailbox.reply_path();
        ReplyFile::write(&path, seconds, |sink| write(metadata, &answer, sink)).map(FederationStep::Done)
    }

    /// Fetches a message's content. That it makes no sense is no error here: the server is to be told.
    fn fetch(&mut self, message: &MessageMetadata) -> Result<FederationStep<Result<Content>>> {
        let federation = &mut self.federation;
        let mut object = |id: &ObjectId| {
            let pull = |superlink: &SuperLink, node| superlink.pull_object(node, message.run_id, id);
            match federation.ask(Some(message), pull) {
                Ok(FederationStep::Done(bytes)) => Ok(bytes),
                Ok(FederationStep::Over(reason)) => Err(Ok(FederationStep::Over(reason))),
                Ok(FederationStep::Stopped) => Err(Ok(FederationStep::Stopped)),
                Err(error) => Err(Err(error)),
            }
        };
        match read(message, &mut object) {
            Ok(content) => Ok(FederationStep::Done(Ok(content))),
            Err(MessageFault::Content(found)) => {
                Ok(FederationStep::Done(Err(anyhow!("{}: it sent {found}", self.federation.server()))))
            }
            Err(MessageFault::Fetch(ended)) => ended,
        }
    }

    /// Sends a kept answer until the server has all of it.
    fn send(&mut self, message: &MessageMetadata, reply: &ReplyFile) -> Result<FederationStep<()>> {
        for _ in 0..ANNOUNCEMENTS {
            let announce = |superlink: &SuperLink, node| superlink.push_message(node, &reply.outgoing, reply.seconds);
            let pushed = match self.federation.ask(Some(message), announce)? {
                FederationStep::Done(pushed) => pushed,
                step => return Ok(step.map(drop)),
            };
            if pushed.missing.is_empty() {
                log::debug!("{}: the server wants none of the answer's objects: it has them, or no use", told(message));
            }
            let mut refused = false;
            for id in reply.ids().filter(|id| pushed.missing.contains(id)) {
                let bytes = reply.object(id)?;
                let send = |superlink: &SuperLink, node| -> Result<bool, WireError> {
                    superlink.push_object(node, message.run_id, &pushed.session, id, bytes.clone())
                };
                match self.federation.ask(Some(message), send)? {
                    FederationStep::Done(stored) => refused |= !stored,
                    step => return Ok(step.map(drop)),
                }
            }
            if !refused {
                return Ok(FederationStep::Done(()));
            }
            // The session ended meanwhile: announced again, what is there is not asked for any more.
        }
        Ok(FederationStep::Over("the server did not take the answer's objects".into()))
    }
}

fn is_answer_to(reply: &ReplyFile, message: &MessageMetadata) -> bool {
    reply.outgoing.message.metadata.as_ref().is_some_and(|own| own.reply_to_message_id == message.message_id)
}

/// A message, for the log.
fn told(message: &MessageMetadata) -> String {
    let id: String = message.message_id.chars().take(8).collect();
    format!("run {}, {} {id}", message.run_id, message.message_type)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
