//! What waits for its observation: some numbers of every forecast that has gone out, by valid time, catchment and lead.

use nilometer_schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// Steps that an observation may come after its own: one where forcing is a step behind, and one more where it is interpolated.
const BEHIND: usize = 2;

/// A ring `[valid step modulo L + BEHIND, C, L, FIELDS]` of float32; a NaN in the first field means that none waits.
#[derive(Clone)]
pub(crate) struct Outstanding<const FIELDS: usize> {
    catchments: usize,
    leads: usize,
    step_s: i64,
    numbers: Vec<f32>,
    times: SlotTimes,
}

/// Which valid time each slot of the ring holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SlotTimes(Vec<Option<Timestamp>>);

impl<const FIELDS: usize> Outstanding<FIELDS> {
    /// Nothing waits.
    pub(crate) fn new(catchments: usize, leads: usize, step_s: i64) -> Self {
        let numbers = vec![f32::NAN; (leads + BEHIND) * catchments * leads * FIELDS];
        Self { catchments, leads, step_s, numbers, times: SlotTimes(vec![None; leads + BEHIND]) }
    }

    /// Keeps the numbers of one lead (0 is the first step after the issue time) until the observation of `valid_time` comes.
    pub(crate) fn keep(&mut self, valid_time: Timestamp, catchment: usize, lead: usize, numbers: [f32; FIELDS]) {
        let slot = self.slot(valid_time);
        if self.times.0[slot] != Some(valid_time) {
            let length = self.catchments * self.leads * FIELDS;
            self.numbers[slot * length..][..length].fill(f32::NAN);
            self.times.0[slot] = Some(valid_time);
        }
        let at = self.at(slot, catchment, lead);
        self.numbers[at..at + FIELDS].copy_from_slice(&numbers);
    }

    /// Hands out what waits for a catchment's observation of `valid_time`, each lead once.
    pub(crate) fn take(
        &mut self,
        valid_time: Timestamp,
        catchment: usize,
    ) -> impl Iterator<Item = (usize, [f32; FIELDS])> {
        let slot = Some(self.slot(valid_time)).filter(|slot| self.times.0[*slot] == Some(valid_time));
        let length = self.leads * FIELDS;
        let from = slot.map_or(0, |slot| self.at(slot, catchment, 0));
        let of_leads = &mut self.numbers[from..][..slot.map_or(0, |_| length)];
        of_leads.as_chunks_mut::<FIELDS>().0.iter_mut().enumerate().filter(|(_, n)| !n[0].is_nan()).map(|(lead, n)| {
            let numbers = *n;
            n[0] = f32::NAN;
            (lead, numbers)
        })
    }

    /// What a snapshot needs besides [`Outstanding::times`].
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// What a snapshot needs besides [`Outstanding::numbers`].
    pub(crate) const fn times(&self) -> &SlotTimes {
        &self.times
    }

    /// Takes up what a snapshot had and returns the numbers behind it; `None` when it is of another size. A ring of an earlier version had a slot
    /// less.
    pub(crate) fn restore<'a>(&mut self, numbers: &'a [f32], times: &SlotTimes) -> Option<&'a [f32]> {
        let length = self.catchments * self.leads * FIELDS;
        let (own, behind) = numbers.split_at_checked(times.0.len() * length)?;
        if !(self.leads + 1..=self.leads + BEHIND).contains(&times.0.len()) {
            return None;
        }
        self.numbers.fill(f32::NAN);
        self.times.0.fill(None);
        for (numbers, time) in own.chunks(length.max(1)).zip(&times.0) {
            let Some(time) = time else { continue };
            let slot = self.slot(*time);
            self.numbers[slot * length..][..length].copy_from_slice(numbers);
            self.times.0[slot] = Some(*time);
        }
        Some(behind)
    }

    fn slot(&self, valid_time: Timestamp) -> usize {
        let step = valid_time.seconds_since(Timestamp(0)).div_euclid(self.step_s);
        usize::try_from(step.rem_euclid((self.leads + BEHIND) as i64)).unwrap_or(0)
    }

    const fn at(&self, slot: usize, catchment: usize, lead: usize) -> usize {
        ((slot * self.catchments + catchment) * self.leads + lead) * FIELDS
    }
}
