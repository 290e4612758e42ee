//! Publication: what goes out of a tick. Of ticks that are taken again only what late rows have changed goes out, with the tick that brought
//! them: forecasts that were issued in between stay as they are, since at their issue time nothing else was known.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array as _, BooleanArray, RecordBatch, TimestampMicrosecondArray},
    compute::{concat_batches, filter_record_batch},
};
use nilometer_engine::Columns;
use nilometer_schemas::{Analyses, Contract, DeadLetterRow, Events, Forecasts, Outlooks, States, Timestamp};

use crate::{
    ForecastError,
    accounts::Refusal,
    late_rows::{About, LateRow, LateRows},
    setting::Setting,
    state::{Outputs, Stored},
};

/// What goes out of a tick.
pub(crate) struct Publication {
    pub(crate) forecasts: Option<Forecasts>,
    pub(crate) events: Events,
    pub(crate) states: Option<States>,
    pub(crate) outlooks: Option<Outlooks>,
    pub(crate) shadow_forecasts: Option<Forecasts>,
    pub(crate) analyses: Option<Analyses>,
    pub(crate) dead_letters: Vec<DeadLetterRow>,
    /// snapshots that ticks taken again have led to, by ordinal: they replace those that knew nothing of the late rows
    pub(crate) snapshots: Vec<(i64, Stored, Columns)>,
}

/// What ticks taken again lead to, until the tick that brought the late rows.
#[derive(Default)]
pub(crate) struct Pending {
    dead_letters: Vec<DeadLetterRow>,
    analyses: Vec<Analyses>,
    snapshots: Vec<(i64, Stored, Columns)>,
}

impl Pending {
    /// Keeps what the late rows of the tick `to` have changed in one that is taken again.
    pub(crate) fn keep(
        &mut self,
        outputs: Outputs,
        to: Timestamp,
        unplaced: &BTreeSet<String>,
        setting: &Setting,
        late_rows: &LateRows,
    ) -> Result<(), ForecastError> {
        if let Some(rows) = outputs.analyses {
            let brought = |row: &&LateRow| row.arrived == to;
            let late: Vec<&LateRow> = late_rows.rows().iter().filter(brought).collect();
            self.analyses.push(of_late_rows(&rows, &late, to, setting)?);
        }
        // The others went out when the tick was new. These do not: they have just lost their place, to a late row or because no state is old enough.
        let new = |refusal: &Refusal| refusal.is_new_at(to) || unplaced.contains(&refusal.dead_letter.locator);
        self.dead_letters.extend(outputs.dead_letters.into_iter().filter(new).map(|refusal| refusal.dead_letter));
        Ok(())
    }

    /// Keeps a snapshot of a tick that is taken again.
    pub(crate) fn keep_snapshot(&mut self, ordinal: i64, state: Stored, columns: Columns) {
        self.snapshots.push((ordinal, state, columns));
    }

    /// All of it, with a new tick's own.
    pub(crate) fn publish(&mut self, outputs: Outputs) -> Result<Publication, ForecastError> {
        let Self { mut dead_letters, analyses, snapshots } = std::mem::take(self);
        let own = |refusal: &Refusal| refusal.is_new_at(outputs.tick);
        dead_letters.extend(outputs.dead_letters.into_iter().filter(own).map(|refusal| refusal.dead_letter));
        Ok(Publication {
            forecasts: outputs.forecasts,
            events: outputs.events,
            states: outputs.states,
            outlooks: outputs.outlooks,
            shadow_forecasts: outputs.shadow_forecasts,
            analyses: joined(analyses.into_iter().chain(outputs.analyses).collect())?,
            dead_letters,
            snapshots,
        })
    }
}

/// The analyses of `late` rows, which were made at the tick `to` that brought them.
fn of_late_rows(
    rows: &Analyses,
    late: &[&LateRow],
    to: Timestamp,
    setting: &Setting,
) -> Result<Analyses, ForecastError> {
    let is_late = |row: usize| {
        let (station, variable) = (rows.station().value(row), rows.variable().value(row));
        let valid_time = Timestamp(rows.valid_time().value(row));
        late.iter().any(|late| match late.content.about() {
            About::Observed(about) => {
                about.valid_time == valid_time
                    && about.variable.name() == variable
                    && setting.index.station(about.catchment) == station
            }
            About::Forcing(..) => false,
        })
    };
    let mask: BooleanArray = (0..rows.len()).map(|row| Some(is_late(row))).collect();
    let kept = filter_record_batch(rows.batch(), &mask)?;
    let (at, mut columns) = (kept.schema_ref().index_of("analysis_time")?, kept.columns().to_vec());
    let times = TimestampMicrosecondArray::from(vec![to.0; kept.num_rows()]);
    columns[at] = Arc::new(times.with_data_type(columns[at].data_type().clone()));
    Ok(Analyses::try_from(RecordBatch::try_new(kept.schema(), columns)?)?)
}

fn joined(analyses: Vec<Analyses>) -> Result<Option<Analyses>, ForecastError> {
    let batches: Vec<RecordBatch> = analyses.into_iter().map(Analyses::into_batch).collect();
    let rows = Analyses::try_from(concat_batches(&Contract::Analysis.schema(), &batches)?)?;
    Ok(Some(rows).filter(|rows| !rows.is_empty()))
}
