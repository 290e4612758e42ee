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

    /// The numbers of one lead that wait for a catchment's observation of `valid_time`; none where none wait.
    pub(crate) fn waiting_mut(
        &mut self,
        valid_time: Timestamp,
        catchment: usize,
        lead: usize,
    ) -> Option<&mut [f32; FIELDS]> {
        let slot = Some(self.slot(valid_time)).filter(|slot| self.times[*slot] == Some(valid_time))?;
        let at = self.at(slot, catchment, lead);
        self.numbers[at..].first_chunk_mut().filter(|numbers| !numbers[0].is_nan())
    }

    /// Adds the columns `name`, `[valid time, L, FIELDS]`, and `name.valid_time`, ascending: of each catchment the times for which something waits.
    pub(crate) fn store(&self, name: &str, columns: &mut ColumnsBuilder) {
        columns.i64(&format!("{name}.valid_time"), |catchment| {
            self.waiting(catchment).into_iter().map(|(time, _)| time.0).collect::<Vec<_>>()
        });
        columns.f32(name, |catchment| {
            let of_times = self.waiting(catchment).into_iter().flat_map(|(_, of_leads)| of_leads);
            // What has been taken leaves no trace, so that a state is stored alike whether it has been restored or not.
            of_times
                .flat_map(|of_lead| if of_lead[0].is_nan() { [f32::NAN; FIELDS] } else { *of_lead })
                .collect::<Vec<_>>()
        });
    }

    /// The times for which something waits of a catchment, ascending, with the numbers of each lead.
    pub(crate) fn waiting(&self, catchment: usize) -> Vec<(Timestamp, &[[f32; FIELDS]])> {
        let of_slot = |(slot, time): (usize, &Option<Timestamp>)| {
            let numbers = &self.numbers[self.at(slot, catchment, 0)..][..self.leads * FIELDS];
            Some(((*time)?, numbers.as_chunks::<FIELDS>().0))
        };
        let mut waiting: Vec<_> = self.times.iter().enumerate().filter_map(of_slot).collect();
        waiting.retain(|(_, of_leads)| of_leads.iter().any(|of_lead| !of_lead[0].is_nan()));
        waiting.sort_unstable_by_key(|(time, _)| *time);
        waiting
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
