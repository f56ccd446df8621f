//! What the loader does, one thing at a time: loads of the operator's files and dynamic updates of zones. All
//! updates that have come while it was busy are carried out together; a load goes first.

use crate::base::diag::Report;
use crate::daemon::control::keeper::Keeper;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;
use crate::daemon::load::Updated;
use crate::engine::update::Order;
use crate::state::plan::Plan;

/// The loader and what waits for it; `W` is somebody who waits for the result of an update.
#[derive(Debug)]
pub(super) struct Work<W> {
    /// `None` while it is at work.
    loader: Option<Box<Loader>>,
    load: Option<Trigger>,
    updates: Vec<(Order, W)>,
}

/// Something for the loader to do, on a blocking thread.
#[derive(Debug)]
pub(super) enum Job<W> {
    /// Load the files.
    Load(Box<Loader>, Trigger),
    /// Carry out updates.
    Update(Box<Loader>, Vec<(Order, W)>),
}

/// What the loader has done, with the loader to be given back.
#[derive(Debug)]
pub(super) enum Done<W> {
    /// A load, and what started it.
    Loaded(Box<Loader>, Trigger, Box<Result<Loaded, Report>>),
    /// Updates, and who waits for each result.
    Updated(Box<Loader>, Box<Updated>, Vec<W>),
}

impl<W> Work<W> {
    /// Nothing to do yet.
    pub(super) fn new(loader: Loader) -> Self {
        Self {
            loader: Some(Box::new(loader)),
            load: None,
            updates: Vec::new(),
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

    /// The loader is free again.
    pub(super) fn give_back(&mut self, loader: Box<Loader>) {
        self.loader = Some(loader);
    }

    /// What the loader is to do now; it must be given back.
    pub(super) fn next(&mut self) -> Option<Job<W>> {
        if self.load.is_none() && self.updates.is_empty() {
            return None;
        }
        let loader = self.loader.take()?;
        Some(match self.load.take() {
            Some(trigger) => Job::Load(loader, trigger),
            None => Job::Update(loader, std::mem::take(&mut self.updates)),
        })
    }
}

impl<W> Job<W> {
    /// Does it, while a plan is served; takes its time.
    pub(super) fn run(self, served: &Plan, keeper: &Keeper) -> Done<W> {
        match self {
            Self::Load(mut loader, trigger) => {
                let result = match &trigger {
                    Trigger::RollBack { by } => {
                        loader.roll_back(served, by, |state_dir| keeper.before(state_dir))
                    }
                    _ => loader.load(Some(served), &trigger),
                };
                Done::Loaded(loader, trigger, Box::new(result))
            }
            Self::Update(mut loader, updates) => {
                let (orders, waiting): (Vec<_>, _) = updates.into_iter().unzip();
                let updated = loader.update(served, &orders);
                Done::Updated(loader, Box::new(updated), waiting)
            }
        }
    }
}
