//! What waits for its observation: some numbers of every forecast that has gone out, by valid time, catchment and lead.

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;

/// Steps that an observation may come after its own: one where forcing is a step behind, and one more where it is interpolated.
const BEHIND: usize = 2;

/// A ring `[valid step modulo L + BEHIND, C, L, FIELDS]` of float32; a NaN in the first field means that none waits.
#[derive(Clone)]
pub(crate) struct Outstanding<const FIELDS: usize> {
    catchments: usize,
    leads: usize,
    step_s: i64,
    numbers: Vec<f32>,
    /// which valid time each slot of the ring holds
    times: Vec<Option<Timestamp>>,
}

impl<const FIELDS: usize> Outstanding<FIELDS> {
    /// Nothing waits.
    pub(crate) fn new(catchments: usize, leads: usize, step_s: i64) -> Self {
        let numbers = vec![f32::NAN; (leads + BEHIND) * catchments * leads * FIELDS];
        Self { catchments, leads, step_s, numbers, times: vec![None; leads + BEHIND] }
    }

    /// Keeps the numbers of one lead (0 is the first step after the issue time) until the observation of `valid_time` comes.
    pub(crate) fn keep(&mut self, valid_time: Timestamp, catchment: usize, lead: usize, numbers: [f32; FIELDS]) {
        let slot = self.slot(valid_time);
        if self.times[slot] != Some(valid_time) {
            let length = self.catchments * self.leads * FIELDS;
            self.numbers[slot * length..][..length].fill(f32::NAN);
            self.times[slot] = Some(valid_time);
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
        let slot = Some(self.slot(valid_time)).filter(|slot| self.times[*slot] == Some(valid_time));
        let length = self.leads * FIELDS;
        let from = slot.map_or(0, |slot| self.at(slot, catchment, 0));
        let of_leads = &mut self.numbers[from..][..slot.map_or(0, |_| length)];
        of_leads.as_chunks_mut::<FIELDS>().0.iter_mut().enumerate().filter(|(_, n)| !n[0].is_nan()).map(|(lead, n)| {
            let numbers = *n;
            n[0] = f32::NAN;
            (lead, numbers)
        })
    }

    /// Adds the columns `name`, `[slot, L, FIELDS]`, and `name.valid_time`, in the order of time.
    pub(crate) fn store(&self, name: &str, columns: &mut ColumnsBuilder) {
        let mut slots: Vec<(Timestamp, usize)> =
            self.times.iter().enumerate().filter_map(|(slot, time)| Some(((*time)?, slot))).collect();
        slots.sort_unstable();
        columns.i64(&format!("{name}.valid_time"), |_| slots.iter().map(|(time, _)| time.0).collect::<Vec<_>>());
        let length = self.leads * FIELDS;
        let of_slot = |catchment: usize, slot: usize| &self.numbers[self.at(slot, catchment, 0)..][..length];
        columns.f32(name, |catchment| {
            slots.iter().flat_map(|(_, slot)| of_slot(catchment, *slot)).copied().collect::<Vec<_>>()
        });
    }

    /// Takes up what [`Outstanding::store`] gave of the catchments that were there, as many lead times as both have.
    pub(crate) fn restore(&mut self, name: &str, rows: &KeyedColumns<'_>) {
        for catchment in 0..self.catchments {
            let times = rows.i64(&format!("{name}.valid_time"), catchment).unwrap_or_default();
            let numbers = rows.f32(name, catchment).unwrap_or_default();
            let of_time = numbers.len().checked_div(times.len()).filter(|length| *length > 0);
            for (time, of_leads) in times.iter().zip(numbers.chunks_exact(of_time.unwrap_or(1))) {
                for (lead, of_lead) in of_leads.as_chunks::<FIELDS>().0.iter().enumerate().take(self.leads) {
                    if !of_lead[0].is_nan() {
                        self.keep(Timestamp(*time), catchment, lead, *of_lead);
                    }
                }
            }
        }
    }

    fn slot(&self, valid_time: Timestamp) -> usize {
        let step = valid_time.seconds_since(Timestamp(0)).div_euclid(self.step_s);
        usize::try_from(step.rem_euclid((self.leads + BEHIND) as i64)).unwrap_or(0)
    }

    const fn at(&self, slot: usize, catchment: usize, lead: usize) -> usize {
        ((slot * self.catchments + catchment) * self.leads + lead) * FIELDS
    }
}
