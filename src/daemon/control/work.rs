//! What the loader does, one thing at a time: loads of the operator's files and dynamic updates of zones. All
//! updates that have come while it was busy are carried out together; a load goes first, a comparison last.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::base::diag::Report;
use crate::daemon::control::comparer::Comparer;
use crate::daemon::control::keeper::Keeper;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;
use crate::daemon::load::Updated;
use crate::daemon::memory::memory_sys;
use crate::engine::update::Order;
use crate::live::request::Comparison;
use crate::state::plan::Plan;

/// Who waits for a comparison.
pub(super) type WaitsForComparison = oneshot::Sender<Result<Arc<Comparison>, Report>>;

/// The loader and what waits for it; `W` is somebody who waits for the result of an update.
#[derive(Debug)]
pub(super) struct Work<W> {
    /// `None` while it is at work.
    loader: Option<Box<Loader>>,
    load: Option<Trigger>,
    updates: Vec<(Order, W)>,
    /// Comparisons that are asked for, with the `meridian.toml` of each if it is another.
    comparisons: Vec<(Option<PathBuf>, WaitsForComparison)>,
}

/// Something for the loader to do, on a blocking thread.
#[derive(Debug)]
pub(super) enum Job<W> {
    /// Load the files.
    Load(Box<Loader>, Trigger),
    /// Carry out updates.
    Update(Box<Loader>, Vec<(Order, W)>),
    /// Load the files, or others, only to compare them.
    Compare(Box<Loader>, Option<PathBuf>, Vec<WaitsForComparison>),
}

/// What the loader has done, with the loader to be given back.
#[derive(Debug)]
pub(super) enum Done<W> {
    /// A load, and what started it.
    Loaded(Box<Loader>, Trigger, Box<Result<Loaded, Report>>),
    /// Updates, and who waits for each result.
    Updated(Box<Loader>, Box<Updated>, Vec<W>),
    /// A comparison, and who waits for it.
    Compared(
        Box<Loader>,
        Result<Arc<Comparison>, Report>,
        Vec<WaitsForComparison>,
    ),
}

impl<W> Work<W> {
    /// Nothing to do yet.
    pub(super) fn new(loader: Loader) -> Self {
        Self {
            loader: Some(Box::new(loader)),
            load: None,
            updates: Vec::new(),
            comparisons: Vec::new(),
        }
    }

    /// A load is due, if one is given.
    pub(super) fn load(&mut self, trigger: Option<Trigger>) {
        self.load = self.load.take().or(trigger);
    }

    /// An update is due.
    pub(super) fn update(&mut self, order: Order, waiting: W) {
        self.updates.push((order, waiting));
    }

    /// A comparison is asked for.
    pub(super) fn compare(&mut self, config: Option<PathBuf>, waiting: WaitsForComparison) {
        self.comparisons.push((config, waiting));
    }

    /// The loader is free again.
    pub(super) fn give_back(&mut self, loader: Box<Loader>) {
        self.loader = Some(loader);
    }

    /// What the loader is to do now; it must be given back.
    pub(super) fn next(&mut self) -> Option<Job<W>> {
        let has_comparison = !self.comparisons.is_empty();
        if self.load.is_none() && self.updates.is_empty() && !has_comparison {
            return None;
        }
        let loader = self.loader.take()?;
        Some(match self.load.take() {
            Some(trigger) => Job::Load(loader, trigger),
            None if !self.updates.is_empty() => {
                Job::Update(loader, std::mem::take(&mut self.updates))
            }
            None => self.next_comparison(loader),
        })
    }

    /// The comparison that was asked for first, for all who have asked for it.
    fn next_comparison(&mut self, loader: Box<Loader>) -> Job<W> {
        let config = self
            .comparisons
            .first()
            .and_then(|(first, _)| first.clone());
        let all = std::mem::take(&mut self.comparisons).into_iter();
        let (same, others) = all.partition(|(other, _)| *other == config);
        self.comparisons = others;
        let same: Vec<(_, _)> = same;
        Job::Compare(
            loader,
            config,
            same.into_iter().map(|(_, waiting)| waiting).collect(),
        )
    }
}

impl<W> Job<W> {
    /// Does it, while something is served that loads are compared with; takes its time.
    pub(super) fn run(self, comparer: &Comparer, keeper: &Keeper) -> Done<W> {
        let served = comparer.served();
        match self {
            Self::Load(mut loader, trigger) => {
                let result = match &trigger {
                    Trigger::RollBack { by } => {
                        loader.roll_back(served, by, |state_dir| keeper.before(state_dir))
                    }
                    Trigger::Forced => loader.load(Some(served), &trigger),
                    Trigger::Asked | Trigger::Changed { .. } => {
                        let judge = |plan: &Arc<Plan>, report: &mut Report| {
                            comparer.check_moves(plan, report);
                        };
                        loader.load_judged(Some(served), &trigger, &judge)
                    }
                };
                Done::Loaded(loader, trigger, Box::new(result))
            }
            Self::Compare(loader, config, waiting) => {
                let mut beside = loader.beside(config.as_deref());
                let loaded = beside.load(Some(served), &Trigger::Asked);
                let compared = loaded.map(|loaded| comparer.compare(&loaded.plan, loaded.report));
                drop(beside);
                // What was loaded only to be compared can be as large as what is served.
                memory_sys::return_free_pages();
                Done::Compared(loader, compared.map(Arc::new), waiting)
            }
            Self::Update(mut loader, updates) => {
                let (orders, waiting): (Vec<_>, _) = updates.into_iter().unzip();
                let updated = loader.update(served, &orders);
                Done::Updated(loader, Box::new(updated), waiting)
            }
        }
    }
}
