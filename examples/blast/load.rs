//! Threads that send and receive, and what they report.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use clap::Args;
use meridian::base::name::Name;
use meridian::base::rr::RrType;

use crate::batch_sys::Batch;
use crate::batch_sys::Readiness;
use crate::batch_sys::stay_on;
use crate::cores::Cores;
use crate::flow::Flow;
use crate::flow::MAX_WINDOW;
use crate::flow::PATIENCE;
use crate::flow::Tally;
use crate::queries::Queries;
use crate::usage::processor_time;

/// Load before the measurement, so that caches, windows and the processor's clock have settled.
const WARM_UP: Duration = Duration::from_millis(500);

/// Messages per system call.
const BATCH: usize = 32;

#[derive(Args)]
pub struct Load {
    /// Whom to ask
    #[arg(long, value_name = "ADDR:PORT")]
    server: SocketAddr,
    /// The name to ask for
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Name::parse(text).map_err(|e| e.to_string()))]
    name: Name,
    /// Ask for h0 to h(N-1) below the name instead
    #[arg(long, value_name = "N")]
    names: Option<usize>,
    /// Ask for the IPv6 addresses
    #[arg(long)]
    aaaa: bool,
    /// A file with one client subnet on each line; without it, queries have none
    #[arg(long, value_name = "FILE")]
    subnets: Option<PathBuf>,
    /// One thread on each core
    #[arg(long, value_name = "N,N", default_value = "2,3")]
    cores: Cores,
    /// How long the measurement takes
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    seconds: f64,
    /// Sockets of each thread: the server's kernel spreads them over its own
    #[arg(long, value_name = "N", default_value_t = 16)]
    sockets: usize,
    /// The first source port, for the same spread each time; without it, the system's choice
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// How many queries each socket leaves unanswered at most
    #[arg(long, value_name = "N", default_value_t = 32)]
    window: usize,
    /// Queries a second in all, instead of as many as the window lets through
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// The process whose processor time is measured, with those that it started
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// An address that may be answered; any, without it
    #[arg(long, value_name = "ADDR")]
    allow: Vec<IpAddr>,
}

/// What was measured.
pub struct Report {
    tally: Tally,
    processor_time: Duration,
}

impl Load {
    /// Loads the server, and waits for the last answers.
    pub fn run(self) -> Result<Report, Box<dyn Error>> {
        let qtype = if self.aaaa { RrType::AAAA } else { RrType::A };
        let subnets = self.subnets.as_deref();
        let queries = Queries::prepare(&self.name, self.names, qtype, subnets)?;
        let window = if self.rate.is_some() {
            MAX_WINDOW
        } else {
            self.window.clamp(1, MAX_WINDOW)
        };
        let start = Instant::now() + WARM_UP;
        let end = start + Duration::from_secs_f64(self.seconds);
        let shared = Arc::new((queries, self.allow));
        let n_threads = self.cores.0.len();
        let mut threads = Vec::new();
        for (thread_ix, core) in self.cores.0.into_iter().enumerate() {
            let mut flows = Vec::new();
            for ix in thread_ix * self.sockets..(thread_ix + 1) * self.sockets {
                let port = self.source_port.map_or(0, |port| port + ix as u16);
                let first = ix * shared.0.len() / (n_threads * self.sockets);
                flows.push(Flow::open(self.server, port, window, first)?);
            }
            let shared = Arc::clone(&shared);
            let tally = Tally::new(start, end);
            let interval = self
                .rate
                .map(|rate| Duration::from_secs_f64(n_threads as f64 / rate));
            threads.push(thread::spawn(move || {
                stay_on(core)?;
                let worker = Worker {
                    readiness: Readiness::of(flows.iter().map(|flow| &flow.socket)),
                    flows,
                    batch: Batch::new(BATCH, false),
                    shared,
                    tally,
                };
                match interval {
                    None => worker.fill_windows(),
                    Some(interval) => worker.keep_rate(interval),
                }
            }));
        }
        let used = || self.pid.map(processor_time).unwrap_or_default();
        thread::sleep(start.saturating_duration_since(Instant::now()));
        let used_before = used();
        thread::sleep(end.saturating_duration_since(Instant::now()));
        let processor_time = used().saturating_sub(used_before);
        let mut tally = Tally::new(start, end);
        for thread in threads {
            tally.add(&thread.join().expect("a thread does not panic")?);
        }
        Ok(Report {
            tally,
            processor_time,
        })
    }
}

/// One thread's flows.
struct Worker {
    flows: Vec<Flow>,
    readiness: Readiness,
    batch: Batch,
    shared: Arc<(Queries, Vec<IpAddr>)>,
    tally: Tally,
}

impl Worker {
    /// Sends again whatever is answered: a closed window.
    fn fill_windows(mut self) -> io::Result<Tally> {
        while Instant::now() < self.tally.end {
            for flow in &mut self.flows {
                let now = Instant::now();
                let n = flow.room();
                flow.send(&mut self.batch, &self.shared.0, n, &mut self.tally, |_| now)?;
            }
            self.receive(100)?;
        }
        self.finish()
    }

    /// Sends a query each `interval`, whatever is answered; where that comes late, the delay is part of
    /// the latency.
    fn keep_rate(mut self, interval: Duration) -> io::Result<Tally> {
        let begin = Instant::now();
        let mut n_sent = 0_u32;
        let mut turn = 0;
        loop {
            let now = Instant::now();
            if now >= self.tally.end {
                return self.finish();
            }
            let n_due = ((now - begin).as_nanos() / interval.as_nanos()) as u32 + 1;
            if n_sent < n_due {
                turn = (turn + 1) % self.flows.len();
                let flow = &mut self.flows[turn];
                let due = |ix| begin + interval * (n_sent + ix as u32);
                let n = (n_due - n_sent) as usize;
                let (queries, tally) = (&self.shared.0, &mut self.tally);
                n_sent += flow.send(&mut self.batch, queries, n, tally, due)? as u32;
            }
            self.receive(0)?;
        }
    }

    /// Receives on the sockets that are ready, after waiting up to `timeout_ms` for one.
    fn receive(&mut self, timeout_ms: i32) -> io::Result<()> {
        self.readiness.wait(timeout_ms);
        let (queries, allowed) = &*self.shared;
        let now = Instant::now();
        for (ix, flow) in self.flows.iter_mut().enumerate() {
            if self.readiness.is_ready(ix) {
                flow.receive(&mut self.batch, queries, allowed, &mut self.tally)?;
            } else if flow.room() == 0 {
                flow.give_up(now, &mut self.tally);
            }
        }
        Ok(())
    }

    /// Waits for the answers that are still to come.
    fn finish(mut self) -> io::Result<Tally> {
        let last = Instant::now() + PATIENCE;
        while Instant::now() < last && !self.flows.iter().all(Flow::is_idle) {
            self.receive(10)?;
        }
        for flow in &mut self.flows {
            flow.give_up(last + PATIENCE, &mut self.tally);
        }
        Ok(self.tally)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let seconds = (tally.end - tally.start).as_secs_f64();
        let n_answered = tally.n_answered as f64;
        let us = |quantile| tally.latency.value_at_quantile(quantile) as f64 / 1e3;
        let processor_us = self.processor_time.as_secs_f64() * 1e6 / n_answered.max(1.0);
        write!(
            f,
            "sent={} answered={} lost={} wrong={} qps={:.0} p50_us={:.1} p99_us={:.1} cpu_us={:.3}",
            tally.n_sent,
            tally.n_answered,
            tally.n_lost,
            tally.n_wrong,
            n_answered / seconds,
            us(0.5),
            us(0.99),
            processor_us,
        )
    }
}
