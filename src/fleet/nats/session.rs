//! What goes over one connection: what arrives is handed on, what waits in the outbox is published, and a
//! PING every few seconds shows whether the server lives.

use std::time::Duration;

use bytes::BytesMut;
use prometheus::IntCounter;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadHalf;
use tokio::io::WriteHalf;
use tokio::io::split;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;
use tracing::warn;

use crate::config::model::Cluster;
use crate::config::model::NatsServer;
use crate::fleet::link::Incoming;
use crate::fleet::link::Kind;
use crate::fleet::link::Outbox;
use crate::fleet::link::Outgoing;
use crate::fleet::nats::connect::Connection;
use crate::fleet::nats::connect::READ_LEN;
use crate::fleet::nats::connect::Stream;
use crate::fleet::nats::connect::is_permissions;
use crate::fleet::nats::fault::Fault;
use crate::fleet::nats::fault::printable;
use crate::fleet::nats::protocol;
use crate::fleet::nats::protocol::Decoder;
use crate::fleet::nats::protocol::Header;
use crate::fleet::nats::protocol::Message;
use crate::fleet::nats::protocol::Op;
use crate::fleet::nats::reported::Reported;

/// How often the server is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// How long a server may send nothing: two PONGs are missing then.
const MAX_SILENCE: Duration = Duration::from_secs(5);

/// How long a server may take for one message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The subscription of replies to this node; those of [`Kind::ALL`] are numbered before it.
const INBOX: usize = Kind::ALL.len();

/// Counts the messages that were dropped on arrival.
#[derive(Clone, Debug)]
pub struct Drops {
    /// The control loop was behind.
    pub lagged: IntCounter,
    /// They were longer than any that a node sends.
    pub oversized: IntCounter,
}

/// What a node takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reports, overrides and syncs, in both directions.
    NameServer,
    /// Sends its own reports, and hears only who else sends them.
    Vantage,
}

/// What every connection is used for.
pub(super) struct Ends {
    pub(super) role: Role,
    pub(super) cluster: Cluster,
    /// By number of the subscription: those of [`Kind::ALL`], and [`INBOX`].
    pub(super) subjects: Vec<String>,
    pub(super) outbox: Outbox,
    pub(super) incoming: mpsc::Sender<Incoming>,
    pub(super) drops: Drops,
}

/// One connection.
pub(super) struct Session<'a> {
    pub(super) ends: &'a Ends,
    pub(super) server: &'a NatsServer,
}

impl Ends {
    /// The subjects that are subscribed, by number.
    pub(super) fn subscribed(&self) -> &[String] {
        match self.role {
            Role::NameServer => &self.subjects,
            Role::Vantage => &self.subjects[..1],
        }
    }
}

impl Session<'_> {
    /// Receives and publishes until the connection ends.
    pub(super) async fn run(&self, connection: Connection, refusals: &mut Reported) -> Fault {
        for refusal in &connection.refusals {
            self.log_refusal(refusal, refusals);
        }
        let (reader, writer) = split(connection.stream);
        let max_payload = connection.max_payload;
        let pong = Notify::new();
        tokio::select! {
            fault = self.receive(reader, connection.decoder, connection.buffer, &pong, refusals) => fault,
            fault = self.publish(writer, max_payload, &pong) => fault,
        }
    }

    async fn receive(
        &self,
        mut reader: ReadHalf<Box<dyn Stream>>,
        mut decoder: Decoder,
        mut buffer: BytesMut,
        pong: &Notify,
        refusals: &mut Reported,
    ) -> Fault {
        // Why the server closes the connection, as it says before.
        let mut reason = Fault::Closed;
        loop {
            loop {
                match decoder.next(&mut buffer) {
                    Ok(Some(Op::Message(message))) => self.hand_on(message),
                    Ok(Some(Op::Oversized(_))) => self.ends.drops.oversized.inc(),
                    Ok(Some(Op::Ping)) => pong.notify_one(),
                    Ok(Some(Op::Error(text))) if is_permissions(&text) => {
                        self.log_refusal(&text, refusals);
                    }
                    Ok(Some(Op::Error(text))) => reason = Fault::reported(&text),
                    Ok(Some(Op::Info(info)))
                        if info.is_leaving && self.ends.cluster.nats.len() > 1 =>
                    {
                        return Fault::Leaving;
                    }
                    Ok(Some(Op::Info(_) | Op::Pong | Op::Ok)) => {}
                    Ok(None) => break,
                    Err(malformed) => return malformed.into(),
                }
            }
            buffer.reserve(READ_LEN);
            match timeout(MAX_SILENCE, reader.read_buf(&mut buffer)).await {
                Ok(Ok(0)) => return reason,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    return match Fault::io(&error, &self.server.host) {
                        Fault::Closed => reason,
                        fault => fault,
                    };
                }
                Err(_) => return Fault::Silent,
            }
        }
    }

    /// Hands a message on, unless the control loop is far behind: then it is dropped, as it is repeated or
    /// asked for again.
    fn hand_on(&self, Message { header, payload }: Message) {
        let Header {
            subject,
            sid,
            reply,
        } = header;
        let sid = usize::try_from(sid).unwrap_or(usize::MAX);
        let (kind, node, reply) = match Kind::ALL.get(sid) {
            Some(Kind::Sync) => (Kind::Sync, "", reply),
            Some(kind) => (*kind, last_token(&subject), None),
            None if sid == INBOX => (Kind::Sync, "", None),
            // Of no subscription of ours.
            None => return,
        };
        let node = node.into();
        let message = Incoming::Message {
            kind,
            node,
            payload,
            reply,
        };
        if let Err(TrySendError::Full(_)) = self.ends.incoming.try_send(message) {
            self.ends.drops.lagged.inc();
        }
    }

    async fn publish(
        &self,
        mut writer: WriteHalf<Box<dyn Stream>>,
        max_payload: usize,
        pong: &Notify,
    ) -> Fault {
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut out = Vec::new();
        loop {
            out.clear();
            tokio::select! {
                biased;
                () = pong.notified() => out.extend(protocol::PONG),
                _ = ping.tick() => out.extend(protocol::PING),
                message = self.ends.outbox.next() => self.encode(&mut out, message, max_payload),
            }
            if out.is_empty() {
                continue;
            }
            let written = async {
                writer.write_all(&out).await?;
                writer.flush().await
            };
            match timeout(WRITE_TIMEOUT, written).await {
                Ok(Ok(())) => {}
                // The server may have said why, and the reader finds that.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return Fault::Stuck,
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>, message: Outgoing, max_payload: usize) {
        let own = |kind: Kind| {
            let (prefix, node) = (&self.ends.cluster.prefix, &self.ends.cluster.node);
            format!("{prefix}.{}.{node}", kind.as_str())
        };
        let mut put = |subject: &str, reply: Option<&str>, payload: &[u8]| {
            if payload.len() <= max_payload {
                protocol::publish(out, subject, reply, payload);
            } else {
                let len = payload.len();
                warn!(
                    server = %self.server, subject, len, max_payload,
                    "message not sent: the NATS server's max_payload is too small; raise it to 1MB"
                );
            }
        };
        let is_report = matches!(message, Outgoing::Report(_) | Outgoing::Changes(_));
        if self.ends.role == Role::Vantage && !is_report {
            return;
        }
        match message {
            Outgoing::Report(parts) => {
                let subject = own(Kind::Report);
                parts.iter().for_each(|part| put(&subject, None, part));
            }
            Outgoing::Changes(payload) => put(&own(Kind::Report), None, &payload),
            Outgoing::Override(payload) => put(&own(Kind::Override), None, &payload),
            Outgoing::Sync(payload) => {
                let subjects = &self.ends.subjects;
                put(
                    &subjects[Kind::Sync as usize],
                    Some(&subjects[INBOX]),
                    &payload,
                );
            }
            Outgoing::Reply { to, payload } => put(&to, None, &payload),
        }
    }

    fn log_refusal(&self, text: &str, refusals: &mut Reported) {
        let error = printable(text);
        if refusals.is_news(&error, Instant::now()) {
            warn!(
                server = %self.server, error,
                "the NATS server refuses a subject: check the permissions of this node's user"
            );
        }
    }
}

fn last_token(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or(subject)
}
