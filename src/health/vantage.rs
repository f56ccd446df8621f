//! One vantage over all its endpoints: whether it reports, and whether it sees.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::health::observation::Target;
use crate::health::report::VantageReport;
use crate::health::sight::Sight;
use crate::health::witness::Witness;

/// What is known of a vantage itself. Times are those of the health table.
#[derive(Clone, Debug)]
pub(super) struct Vantage {
    pub(super) name: Arc<str>,
    /// Whether it is one of another machine: what it sees is reported by that.
    pub(super) is_remote: bool,
    /// When it last had evidence about any endpoint.
    reported: Option<Duration>,
    /// Since when it is waited for.
    since: Duration,
    /// How long it may go without a report: what the most frequently probed endpoint allows.
    max_silence: Duration,
    is_silent: bool,
    pub(super) sight: PerFamily<Sight>,
    /// Its witnesses.
    pub(super) witnesses: Vec<Witness>,
    /// Whether the latest report to other machines says that it is blind.
    pub(super) reported_blind: PerFamily<bool>,
}

/// Something about a vantage that an operator should know.
#[derive(Clone, Debug, PartialEq)]
pub enum VantageChange {
    /// It has lost contact with all endpoints of a family at once: its verdicts do not count.
    Blind {
        /// Its name.
        vantage: Arc<str>,
        /// Of which it sees nothing.
        family: Family,
        /// How many witnesses it does not reach either; 0: it has none of the family.
        n_witnesses: usize,
    },
    /// It has been blind for so long that all being down is taken for the truth.
    Believed {
        /// Its name.
        vantage: Arc<str>,
        /// Of which it sees nothing.
        family: Family,
    },
    /// It has contact again after it was blind.
    Sees {
        /// Its name.
        vantage: Arc<str>,
        /// Of which it sees something.
        family: Family,
    },
    /// It says down of an endpoint that flaps, whatever its probes say, until that is stable.
    Suppressed {
        /// Its name.
        vantage: Arc<str>,
        /// Which endpoint.
        target: Arc<Target>,
        /// When it is expected to end, in Unix seconds.
        until: u64,
    },
    /// It says of an endpoint what its probes say again.
    Reused {
        /// Its name.
        vantage: Arc<str>,
        /// Which endpoint.
        target: Arc<Target>,
    },
    /// It has never reached a witness, which so proves nothing.
    WitnessUseless {
        /// Its name.
        vantage: Arc<str>,
        /// The witness.
        witness: SocketAddr,
    },
    /// It has had no evidence about any endpoint for too long.
    Silent {
        /// Its name.
        vantage: Arc<str>,
        /// For how long.
        age: Duration,
    },
    /// It reports again after it was silent.
    Reports {
        /// Its name.
        vantage: Arc<str>,
    },
}

impl VantageChange {
    /// Whether it should survive a restart.
    pub fn is_saved(&self) -> bool {
        matches!(self, Self::Suppressed { .. } | Self::Reused { .. })
    }
}

impl Vantage {
    /// One that is waited for from time zero.
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            is_remote: false,
            reported: None,
            since: Duration::ZERO,
            max_silence: Duration::MAX,
            is_silent: false,
            sight: PerFamily::default(),
            witnesses: Vec::new(),
            reported_blind: PerFamily::default(),
        }
    }

    /// One of another machine, first heard of now.
    pub(super) fn remote(name: Arc<str>, now: Duration) -> Self {
        Self {
            is_remote: true,
            since: now,
            ..Self::new(name)
        }
    }

    /// Notes that another machine's vantage had evidence then.
    pub(super) fn heard(&mut self, reported: Duration) {
        self.reported = self.reported.max(Some(reported));
    }

    /// A report without any endpoint.
    pub(super) fn empty_report(&self) -> VantageReport {
        VantageReport {
            vantage: Arc::clone(&self.name),
            is_blind: self.sight.map(|sight| sight.is_blind()),
            endpoints: Vec::new(),
        }
    }

    /// Probes an endpoint that allows so much silence.
    pub(super) fn probes(&mut self, max_age: Duration) {
        self.max_silence = self.max_silence.min(max_age);
    }

    /// What was known of this vantage before a reload, with the endpoints that it has now.
    pub(super) fn adopt(&mut self, old: &Self, now: Duration) {
        let witnesses = self.witnesses.iter().map(|witness| {
            let mut known = old.witnesses.iter();
            let known = known.find(|known| known.address == witness.address);
            known
                .cloned()
                .unwrap_or_else(|| Witness::new(witness.address, now))
        });
        *self = Self {
            max_silence: self.max_silence,
            witnesses: witnesses.collect(),
            ..old.clone()
        };
    }

    /// Is waited for from now on only.
    pub(super) fn wait_from(&mut self, now: Duration) {
        self.since = now;
        for witness in &mut self.witnesses {
            witness.since = now;
        }
    }

    /// Takes evidence about an endpoint.
    pub(super) fn report(&mut self, now: Duration) -> Option<VantageChange> {
        self.reported = Some(now);
        let vantage = Arc::clone(&self.name);
        std::mem::take(&mut self.is_silent).then_some(VantageChange::Reports { vantage })
    }

    /// The witnesses of a family that prove anything.
    pub(super) fn witnesses_of(&self, family: Family) -> impl Iterator<Item = &Witness> {
        let is_of_family = move |w: &&Witness| Family::of(w.address.ip()) == family;
        let witnesses = self.witnesses.iter().filter(is_of_family);
        witnesses.filter(|witness| witness.is_proven())
    }

    /// The time since its latest evidence, or since it is waited for.
    pub(super) fn report_age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.reported.unwrap_or(self.since))
    }

    /// Whether it has had no evidence about any endpoint for too long.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.report_age(now) > self.max_silence
    }

    /// Notices, once, that it has been silent for too long.
    pub(super) fn tick(&mut self, now: Duration) -> Option<VantageChange> {
        if self.is_silent || !self.is_overdue(now) {
            return None;
        }
        self.is_silent = true;
        let age = self.report_age(now);
        let vantage = Arc::clone(&self.name);
        Some(VantageChange::Silent { vantage, age })
    }
}
