//! Wanted: whether a query is still to be worked on. A join may go on for hours without a row, and nothing that waits could end it: so joins ask
//! themselves, before each batch of pairs, and give way to others now and then.

use std::{
    any::Any,
    fmt,
    hash::{Hash, Hasher},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, FieldRef, Schema, SchemaRef},
};
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    error::DataFusionError,
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
    },
};
use futures::{Stream, StreamExt as _};

/// How long a join works before it gives way.
const TURN: Duration = Duration::from_millis(10);

/// Whether a query is still to be worked on.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    until: Instant,
    gone: Arc<AtomicBool>,
}

impl Wanted {
    pub(crate) fn until(until: Instant) -> Self {
        Self { until, gone: Arc::default() }
    }

    /// Says that no client waits for it.
    pub(crate) fn end(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    fn check(&self) -> Result<()> {
        if self.gone.load(Ordering::Relaxed) || self.is_late() {
            return Err(DataFusionError::Execution("the query is not wanted any more".to_owned()));
        }
        Ok(())
    }
}

/// The same plan, whose joins end when it is not wanted.
pub(crate) fn while_wanted(plan: Arc<dyn ExecutionPlan>, wanted: &Wanted) -> Result<Arc<dyn ExecutionPlan>> {
    let asking = |plan: Arc<dyn ExecutionPlan>| {
        let any: &dyn Any = &*plan;
        let join = if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
            match join.filter() {
                Some(filter) => {
                    let built =
                        NestedLoopJoinExecBuilder::new(join.left().clone(), join.right().clone(), *join.join_type())
                            .with_filter(Some(filter_of(filter, wanted)))
                            .with_projection_ref(join.projection().clone());
                    Arc::new(built.build()?)
                }
                None => plan,
            }
        } else if let Some(join) = any.downcast_ref::<HashJoinExec>() {
            match join.filter() {
                Some(filter) => join.builder().with_filter(Some(filter_of(filter, wanted))).build_exec()?,
                None => plan,
            }
        } else {
            return Ok(Transformed::no(plan));
        };
        Ok(Transformed::yes(Arc::new(GivesWay { input: join, wanted: wanted.clone() }) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(asking).data()
}

fn filter_of(filter: &JoinFilter, wanted: &Wanted) -> JoinFilter {
    let asks = Arc::new(Asks { inner: filter.expression().clone(), wanted: wanted.clone() });
    JoinFilter::new(asks, filter.column_indices().to_vec(), filter.schema().clone())
}

/// An expression that fails when the query is not wanted any more.
#[derive(Debug)]
struct Asks {
    inner: Arc<dyn PhysicalExpr>,
    wanted: Wanted,
}

impl PartialEq for Asks {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Asks {}

impl Hash for Asks {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Asks {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.wanted.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| self.inner.clone());
        Ok(Arc::new(Self { inner, wanted: self.wanted.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// A join whose rows come in turns.
#[derive(Debug)]
struct GivesWay {
    input: Arc<dyn ExecutionPlan>,
    wanted: Wanted,
}

impl DisplayAs for GivesWay {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivesWay")
    }
}

impl ExecutionPlan for GivesWay {
    fn name(&self) -> &'static str {
        "GivesWay"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(Arc::new(Self { input, wanted: self.wanted.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        Ok(Box::pin(Turns { rows, wanted: self.wanted.clone(), begun: Instant::now() }))
    }
}

struct Turns {
    rows: SendableRecordBatchStream,
    wanted: Wanted,
    begun: Instant,
}

impl Stream for Turns {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.wanted.check() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.begun.elapsed() > TURN {
            self.begun = Instant::now();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.rows.poll_next_unpin(context);
        if next.is_pending() {
            self.begun = Instant::now();
        }
        next
    }
}

impl RecordBatchStream for Turns {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
