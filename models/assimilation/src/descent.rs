//! Adam for many small independent problems in one array: each has its own rate and never keeps a worse point.

use crate::minimum::{CatchmentMinimum, ControlRow, DescentOutcome, VariationalOptions};
use crate::moments::to_storage;

/// Decay of the two moments, and the term that keeps their ratio finite (Kingma & Ba 2015, ICLR).
const DECAY_FIRST: f64 = 0.9;
const DECAY_SECOND: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// What a rate is divided by where the loss rose.
const BACK_OFF: f64 = 10.0;

/// Where one catchment stands.
#[derive(Debug, Clone, Copy)]
struct Progress {
    loss_before: f64,
    loss: f64,
    rate: f64,
    /// Steps since the moments were last zero.
    steps: i32,
    verdict: Verdict,
}

/// What the last evaluation said about the trial of a catchment.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Better,
    Worse,
    /// Not finite, now or before: the background stays.
    NotFinite,
}

/// Buffers `[S, C]`, catchment fastest. Controls are increments over the background standard deviation of their row, so
/// that one rate fits all rows.
#[derive(Debug)]
pub(crate) struct Descent {
    options: VariationalOptions,
    background: Vec<f32>,
    control: Vec<f64>,
    trial: Vec<f64>,
    gradient: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    progress: Vec<Progress>,
    /// Scratch `[C]`.
    losses: Vec<f64>,
    step_sizes: Vec<f64>,
}

impl Descent {
    pub(crate) fn new(options: VariationalOptions, rows: usize, catchments: usize) -> Self {
        let zeros = vec![0.0; rows * catchments];
        Self {
            options,
            background: vec![0.0; rows * catchments],
            control: zeros.clone(),
            trial: zeros.clone(),
            gradient: zeros.clone(),
            first: zeros.clone(),
            second: zeros,
            progress: Vec::with_capacity(catchments),
            losses: vec![0.0; catchments],
            step_sizes: vec![0.0; catchments],
        }
    }

    /// Takes up a background `[S, C]`; the first trial is the background itself, within its bounds.
    pub(crate) fn begin(&mut self, state: &mut [f32], rows: &[ControlRow]) {
        self.background.copy_from_slice(state);
        for buffer in [&mut self.control, &mut self.trial, &mut self.gradient, &mut self.first, &mut self.second] {
            buffer.fill(0.0);
        }
        let rate = self.options.rate;
        let start = Progress { loss_before: 0.0, loss: f64::INFINITY, rate, steps: 0, verdict: Verdict::Better };
        self.progress.clear();
        self.progress.resize(self.losses.len(), start);
        self.place(state, rows);
    }

    /// Takes the first evaluation as the loss before.
    pub(crate) fn judge_background(&mut self, rows: &[ControlRow], misfit: &[f32], gradient: &[f32]) {
        self.judge(rows, misfit, gradient);
        for (progress, loss) in self.progress.iter_mut().zip(&self.losses) {
            progress.loss_before = *loss;
        }
    }

    /// Keeps each trial whose total loss did not rise, and goes back elsewhere with a smaller rate and no momentum.
    /// `misfit` `[C]` and `gradient` `[S, C]` are those of the trial.
    pub(crate) fn judge(&mut self, rows: &[ControlRow], misfit: &[f32], gradient: &[f32]) {
        self.total_losses(rows, misfit, gradient);
        for (progress, &loss) in self.progress.iter_mut().zip(&self.losses) {
            progress.judge(loss);
        }
        let catchments = self.losses.len();
        for (row, control) in rows.iter().enumerate().filter(|(_, control)| control.is_free()) {
            for (catchment, progress) in self.progress.iter().enumerate() {
                let at = row * catchments + catchment;
                match progress.verdict {
                    Verdict::Better => {
                        self.control[at] = self.trial[at];
                        self.gradient[at] = self.trial[at] + control.background_std * f64::from(gradient[at]);
                    }
                    Verdict::Worse => (self.first[at], self.second[at]) = (0.0, 0.0),
                    Verdict::NotFinite => self.control[at] = 0.0,
                }
            }
        }
    }

    /// Writes the next trial into `state` `[S, C]`; `false` where no catchment has anything left to try.
    pub(crate) fn step(&mut self, state: &mut [f32], rows: &[ControlRow]) -> bool {
        let mut moving = false;
        for (step_size, progress) in self.step_sizes.iter_mut().zip(&mut self.progress) {
            *step_size = progress.next_step_size(self.options.smallest_rate);
            moving |= *step_size > 0.0;
        }
        let catchments = self.step_sizes.len();
        for (row, _) in rows.iter().enumerate().filter(|(_, control)| control.is_free()) {
            for (catchment, step_size) in self.step_sizes.iter().enumerate() {
                let at = row * catchments + catchment;
                let gradient = self.gradient[at];
                self.first[at] += (1.0 - DECAY_FIRST) * (gradient - self.first[at]);
                self.second[at] += (1.0 - DECAY_SECOND) * (gradient * gradient - self.second[at]);
                self.trial[at] = self.control[at] - step_size * self.first[at] / (self.second[at].sqrt() + EPSILON);
            }
        }
        self.place(state, rows);
        moving
    }

    /// Writes what was kept into `state` `[S, C]`: the best point within bounds, or the background to the last bit.
    pub(crate) fn finish(&mut self, state: &mut [f32], rows: &[ControlRow]) {
        self.trial.copy_from_slice(&self.control);
        self.place(state, rows);
    }

    /// What became of each catchment, in index order.
    pub(crate) fn minima(&self) -> impl Iterator<Item = CatchmentMinimum> {
        self.progress.iter().enumerate().map(|(catchment, progress)| CatchmentMinimum {
            catchment,
            loss_before: progress.loss_before,
            loss_after: progress.loss_after(),
            outcome: progress.outcome(self.options.smallest_rate),
        })
    }

    /// Writes the background `[S, C]` back into `state`.
    pub(crate) fn restore(&self, state: &mut [f32]) {
        state.copy_from_slice(&self.background);
    }

    /// Change of one value against the background.
    pub(crate) fn increment(&self, state: &[f32], at: usize) -> f64 {
        let (after, before) = (state[at], self.background[at]);
        if after.to_bits() == before.to_bits() { 0.0 } else { f64::from(after) - f64::from(before) }
    }

    /// `½ Σ (dx / sigma)² + misfit`, NaN where a free value of the catchment or its gradient is not finite.
    fn total_losses(&mut self, rows: &[ControlRow], misfit: &[f32], gradient: &[f32]) {
        let catchments = self.losses.len();
        for (loss, &misfit) in self.losses.iter_mut().zip(misfit) {
            *loss = f64::from(misfit);
        }
        for (row, _) in rows.iter().enumerate().filter(|(_, control)| control.is_free()) {
            for (catchment, loss) in self.losses.iter_mut().enumerate() {
                let at = row * catchments + catchment;
                let finite = gradient[at].is_finite() && self.background[at].is_finite();
                *loss += if finite { 0.5 * self.trial[at] * self.trial[at] } else { f64::NAN };
            }
        }
    }

    /// `state = background + sigma * trial` within the bounds; a trial beyond them is moved to them.
    fn place(&mut self, state: &mut [f32], rows: &[ControlRow]) {
        let catchments = self.progress.len();
        for (row, control) in rows.iter().enumerate().filter(|(_, control)| control.is_free()) {
            for (catchment, progress) in self.progress.iter().enumerate() {
                let at = row * catchments + catchment;
                if progress.verdict == Verdict::NotFinite {
                    state[at] = self.background[at];
                    continue;
                }
                let background = f64::from(self.background[at]);
                let unclipped = to_storage(background + control.background_std * self.trial[at]);
                state[at] = control.bounds.clip(unclipped);
                if state[at] != unclipped {
                    self.trial[at] = (f64::from(state[at]) - background) / control.background_std;
                }
            }
        }
    }
}

impl Progress {
    fn judge(&mut self, loss: f64) {
        if !loss.is_finite() {
            self.verdict = Verdict::NotFinite;
        }
        match self.verdict {
            Verdict::NotFinite => {}
            _ if loss <= self.loss => (self.loss, self.verdict) = (loss, Verdict::Better),
            _ => (self.rate, self.steps, self.verdict) = (self.rate / BACK_OFF, 0, Verdict::Worse),
        }
    }

    /// Adam's step with both biases corrected, `rate sqrt(1 - b2^n) / (1 - b1^n)`; zero for a catchment that rests.
    fn next_step_size(&mut self, smallest_rate: f64) -> f64 {
        if self.verdict == Verdict::NotFinite || self.rate < smallest_rate {
            return 0.0;
        }
        self.steps = self.steps.saturating_add(1);
        self.rate * (1.0 - DECAY_SECOND.powi(self.steps)).sqrt() / (1.0 - DECAY_FIRST.powi(self.steps))
    }

    fn loss_after(&self) -> f64 {
        if self.verdict == Verdict::NotFinite { self.loss_before } else { self.loss }
    }

    fn outcome(&self, smallest_rate: f64) -> DescentOutcome {
        match self.verdict {
            Verdict::NotFinite => DescentOutcome::NotFinite,
            _ if self.rate < smallest_rate => DescentOutcome::Converged,
            _ => DescentOutcome::OutOfIterations,
        }
    }
}
