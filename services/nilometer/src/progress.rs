//! Progress of long work on standard error: in place on a terminal, a line a minute elsewhere.

use std::{
    fmt::Debug,
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nilometer_engine::Progress;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

const ON_A_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(60);

/// Shows what [`nilometer_engine::progress`] says.
pub struct ProgressLayer {
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    work: String,
    /// where it was when it was heard of first, and when
    begun: Option<(u64, Instant)>,
    shown: Option<Instant>,
}

/// One event.
#[derive(Default)]
struct ProgressVisitor(Progress);

impl ProgressLayer {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), state: Mutex::default() }
    }
}

impl<S: Subscriber> Layer<S> for ProgressLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = ProgressVisitor::default();
        event.record(&mut said);
        let ProgressVisitor(said) = said;
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.work != said.work {
            // Elsewhere the first line comes with the first minute: what takes less is not long.
            let shown = (!self.terminal).then_some(now);
            *state = State { work: said.work.clone(), begun: Some((said.done, now)), shown };
        }
        let every = if self.terminal { ON_A_TERMINAL } else { ELSEWHERE };
        let mut stderr = std::io::stderr();
        // Progress that cannot be shown is no reason to stop.
        if said.done >= said.total {
            *state = State::default();
            // The line is free for what is said next.
            let _ = if self.terminal { write!(stderr, "\r\x1b[K") } else { Ok(()) };
            return;
        }
        if state.shown.is_some_and(|shown| now.duration_since(shown) < every) {
            return;
        }
        state.shown = Some(now);
        let (from, begun) = state.begun.unwrap_or((0, now));
        let text = said.line(from, now.duration_since(begun));
        let _ = if self.terminal { write!(stderr, "\r{text}\x1b[K") } else { writeln!(stderr, "{text}") };
        let _ = stderr.flush();
    }
}

impl Visit for ProgressVisitor {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "done" => self.0.done = value,
            "total" => self.0.total = value,
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "work" => value.clone_into(&mut self.0.work),
            "unit" => value.clone_into(&mut self.0.unit),
            "detail" => value.clone_into(&mut self.0.detail),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
