//! A bar on the terminal for what takes seconds: on stderr, and only if that is one.

use std::time::Duration;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

/// How often what cannot be counted shows that it goes on.
const TICK: Duration = Duration::from_millis(100);

/// What is being done.
pub struct Progress(ProgressBar);

impl Progress {
    /// Nothing yet. Draws nothing where stderr is no terminal.
    pub fn new() -> Self {
        Self(ProgressBar::with_draw_target(
            None,
            ProgressDrawTarget::stderr(),
        ))
    }

    /// Something has begun of which the end is not known.
    pub fn begin(&self, what: &'static str) {
        self.style("{spinner} {msg}");
        self.0.set_message(what);
        self.0.enable_steady_tick(TICK);
    }

    /// So many of something are to be done.
    pub fn count(&self, what: &'static str, n: usize) {
        self.0.disable_steady_tick();
        self.style("{wide_bar} {pos}/{len} {msg}");
        self.0.set_message(what);
        self.0.set_length(n as u64);
    }

    /// One more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    fn style(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
    }

    /// Removes the bar.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
