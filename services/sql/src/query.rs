//! Query: a statement becomes rows, on the engine's own threads, within its limits.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::DataFusionError,
    execution::{SendableRecordBatchStream, SessionState, context::SQLOptions},
    logical_expr::LogicalPlan,
    physical_plan::execute_stream,
    sql::parser::Statement,
};
use futures::{Stream, StreamExt as _, stream::Fuse};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    Engine, SqlError,
    engine::{Inner, PLACES},
    statement,
    view::View,
    wanted::{Wanted, while_wanted},
};

/// Batches that wait for a slow client.
const WAITING: usize = 2;
/// How long a query waits for others to end.
const WAIT_FOR_PLACE: Duration = Duration::from_secs(2);
/// Bytes of rows that are there before the first goes out: until then a query can begin anew.
const HELD_BACK: usize = 4 << 20;
/// How often a query begins that compaction has taken objects from.
const ATTEMPTS: u32 = 8;
/// The pause behind the first of these; each is longer than the one before it.
const PAUSE: Duration = Duration::from_millis(10);

/// The rows of an answer, as they come. Dropped, the query ends.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, SqlError>>,
    _query: EndOnDrop,
}

#[derive(Debug)]
struct EndOnDrop {
    task: AbortHandle,
    wanted: Wanted,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.wanted.end();
        self.task.abort();
    }
}

impl Rows {
    /// Their columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, SqlError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_recv(context)
    }
}

/// Counts a query when it ends, also where its client has ended it.
struct Counted {
    engine: Engine,
    outcome: &'static str,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.engine.count(self.outcome);
    }
}

/// What is asked.
enum Question {
    Statement(Box<Statement>),
    Plan(Box<LogicalPlan>),
}

impl Engine {
    /// The rows of one statement.
    ///
    /// # Errors
    /// [`SqlError`] where the statement is not accepted or fails before its first rows; what fails later is in the rows.
    pub async fn query(&self, text: &str) -> Result<Rows, SqlError> {
        self.ask(Question::Statement(Box::new(self.accepted(text)?))).await
    }

    /// A statement of the allow-list.
    pub(crate) fn accepted(&self, text: &str) -> Result<Statement, SqlError> {
        statement::parse(text).inspect_err(|error| self.count(error.outcome()))
    }

    /// The rows of a plan that was made of an accepted statement.
    pub(crate) async fn run(&self, plan: LogicalPlan) -> Result<Rows, SqlError> {
        self.ask(Question::Plan(Box::new(plan))).await
    }

    /// The plan of an accepted statement, which may have parameters.
    pub(crate) async fn plan(&self, statement: Statement) -> Result<LogicalPlan, SqlError> {
        let (session, limit) = (self.planner().clone(), self.inner.limits.time);
        let planned = self.inner.threads.spawn(async move { plan(&session, statement).await });
        let planned = planned.ok_or(SqlError::Busy { places: PLACES })?;
        let _end = EndOnDrop { task: planned.abort_handle(), wanted: Wanted::until(std::time::Instant::now()) };
        let planned = timeout(limit, planned).await.map_err(|_| SqlError::Time { limit })?;
        let planned = planned.map_err(|error| SqlError::Internal(Box::new(error)))?;
        let planned = planned.map_err(|error| SqlError::of(error, self.inner.limits.memory_mib));
        // A plan that is made counts when it runs.
        planned.inspect_err(|error| self.count(error.outcome()))
    }

    async fn ask(&self, question: Question) -> Result<Rows, SqlError> {
        let limits = self.inner.limits;
        let deadline = Instant::now() + limits.time;
        let wanted = Wanted::until(deadline.into_std());
        let (begun, begins) = oneshot::channel();
        let (batches, mut received) = mpsc::channel(WAITING);
        let (engine, working) = (self.clone(), wanted.clone());
        let work = async move {
            let mut counted = Counted { engine: engine.clone(), outcome: "cancelled" };
            let answered = timeout_at(deadline, answer(&engine, question, begun, &batches, &working)).await;
            let late = SqlError::Time { limit: limits.time };
            let error = match answered {
                Ok(Ok(outcome)) => {
                    counted.outcome = outcome;
                    return;
                }
                Ok(Err(error)) if !working.is_late() => error,
                _ => late,
            };
            counted.outcome = error.outcome();
            // The client may have gone.
            let _ = batches.send(Err(error)).await;
        };
        let task = self.inner.threads.spawn(work).ok_or(SqlError::Busy { places: PLACES })?;
        let query = EndOnDrop { task: task.abort_handle(), wanted };
        match begins.await {
            Ok(schema) => Ok(Rows { schema, batches: received, _query: query }),
            // It failed before it began.
            Err(_) => match received.recv().await {
                Some(Err(error)) => Err(error),
                _ => Err(SqlError::Internal("a query ended without an answer".into())),
            },
        }
    }
}

/// Sends the columns, then the rows. Gives the outcome as metrics name it.
async fn answer(
    engine: &Engine,
    question: Question,
    begun: oneshot::Sender<SchemaRef>,
    batches: &mpsc::Sender<Result<RecordBatch, SqlError>>,
    wanted: &Wanted,
) -> Result<&'static str, SqlError> {
    let Inner { limits, places, .. } = &*engine.inner;
    let place = timeout(WAIT_FOR_PLACE, places.acquire()).await;
    let _place = place.ok().and_then(Result::ok).ok_or(SqlError::Busy { places: PLACES })?;
    let mut attempt = 1;
    let Begun { schema, first, mut rows, view } = loop {
        match begin(engine, &question, wanted).await {
            Err(error) if error.is_compacted() && attempt < ATTEMPTS => {
                // Compaction takes some time to remove what it has replaced.
                sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            begun => break begun?,
        }
    };
    let _ = begun.send(schema);
    let mut number = 0;
    let mut first = first.into_iter();
    loop {
        let batch = match first.next() {
            Some(batch) => batch,
            None => match rows.next().await.transpose() {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok("answered"),
                Err(error) => return Err(because(engine, error, &view).await),
            },
        };
        number += batch.num_rows() as u64;
        if number > limits.rows {
            return Err(SqlError::Rows { limit: limits.rows });
        }
        if batch.num_rows() > 0 && batches.send(Ok(batch)).await.is_err() {
            return Ok("cancelled");
        }
    }
}

/// Why a query failed.
async fn because(engine: &Engine, error: DataFusionError, view: &View) -> SqlError {
    match SqlError::of(error, engine.inner.limits.memory_mib) {
        // A reader of Parquet says that an object is gone in words of its own.
        SqlError::Internal(_) if view.is_outdated().await => SqlError::Compacted,
        error => error,
    }
}

/// A query that has begun.
struct Begun {
    schema: SchemaRef,
    first: Vec<RecordBatch>,
    /// behind the first
    rows: Fuse<SendableRecordBatchStream>,
    view: Arc<View>,
}

/// Begins a query. What fails before its first batches are as much as is held back can be begun anew.
async fn begin(engine: &Engine, question: &Question, wanted: &Wanted) -> Result<Begun, SqlError> {
    let (session, view) = engine.session();
    let begun = async {
        let plan = match question {
            Question::Statement(statement) => plan(&session, (**statement).clone()).await?,
            Question::Plan(plan) => (**plan).clone(),
        };
        let physical = while_wanted(session.create_physical_plan(&plan).await?, wanted)?;
        let rows = execute_stream(physical, session.task_ctx())?;
        let (schema, mut rows) = (rows.schema(), rows.fuse());
        let (mut first, mut held) = (Vec::new(), 0);
        while held < HELD_BACK {
            let Some(batch) = rows.next().await.transpose()? else { break };
            held += batch.get_array_memory_size();
            first.push(batch);
        }
        Ok((schema, first, rows))
    };
    match begun.await {
        Ok((schema, first, rows)) => Ok(Begun { schema, first, rows, view }),
        Err(error) => Err(because(engine, error, &view).await),
    }
}

/// The plan of an accepted statement. Once more: nothing that writes is planned, whatever the parser made of it.
async fn plan(session: &SessionState, statement: Statement) -> Result<LogicalPlan, DataFusionError> {
    let plan = session.statement_to_plan(statement).await?;
    let reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reads.verify_plan(&plan)?;
    Ok(plan)
}
