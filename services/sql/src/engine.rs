//! Engine: the tables, the functions and the limits that every query has, and the threads that work on them.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::MemTable,
    common::Result,
    execution::{
        SessionState, SessionStateBuilder,
        cache::cache_manager::CacheManagerConfig,
        context::SessionContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{GreedyMemoryPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionConfig,
};
use datafusion_pg_catalog::{pg_catalog::context::EmptyContextProvider, setup_pg_catalog};
use nilometer_definitions::{Catchment, ServeOptions};
use nilometer_serve::{Memory, Site};
use object_store::ObjectStore;
use tokio::{runtime::Runtime, sync::Semaphore};

use crate::{
    stations::{stations, thresholds},
    store::ArchiveOnly,
    table::{Latest, Rows},
    tables::{LATEST, STATION, TABLES, THRESHOLD},
    view::View,
};

/// Queries that are worked on at once; each has the whole of its memory limit.
pub(crate) const PLACES: usize = 4;
/// Name of the one database.
pub(crate) const DATABASE: &str = "nilometer";
/// Name of the one schema with our tables.
pub(crate) const SCHEMA: &str = "public";
/// Bytes of footers and page indices of Parquet that are kept.
const FOOTERS: usize = 128 << 20;
/// Of a thread that plans: a deep expression is walked by recursion.
const STACK: usize = 8 << 20;
/// Largest consumers that a refusal for memory names.
const CONSUMERS: NonZeroUsize = NonZeroUsize::MIN;
/// Functions whose result may be longer than all they are given: memory limits do not count the values of an expression.
const UNBOUNDED: [&str; 8] =
    ["array_repeat", "array_resize", "generate_series", "list_repeat", "lpad", "range", "repeat", "rpad"];

/// What a query may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// MiB of what it groups, sorts and joins
    pub memory_mib: usize,
    /// from its begin until its last row is fetched
    pub time: Duration,
    /// rows of its answer
    pub rows: u64,
}

impl Limits {
    /// Those of a definition.
    #[must_use]
    pub fn of(options: &ServeOptions) -> Self {
        let time = Duration::from_secs(options.sql_time.seconds().unsigned_abs());
        Self { memory_mib: options.sql_memory_mib, time, rows: options.sql_rows }
    }
}

/// What is asked about.
#[derive(Clone)]
pub struct Source {
    /// the service whose memory is seen; none where an archive is read by itself, which then has no `forecast_latest`
    pub site: Option<Site>,
    /// the archive
    pub archive: Arc<dyn ObjectStore>,
    /// of the definition
    pub catchments: Vec<Catchment>,
}

/// Answers queries. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    source: Source,
    pub(crate) limits: Limits,
    base: SessionState,
    pub(crate) places: Semaphore,
    pub(crate) threads: Threads,
}

/// A runtime of its own: a query that keeps its threads busy delays no forecast and no other answer.
pub(crate) struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Threads {
    fn new(threads: usize) -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("sql").thread_stack_size(STACK).enable_all();
        Ok(Self(Some(builder.build()?)))
    }

    pub(crate) fn spawn<F: Future<Output: Send> + Send + 'static>(
        &self,
        work: F,
    ) -> Option<tokio::task::JoinHandle<F::Output>> {
        self.0.as_ref().map(|runtime| runtime.spawn(work))
    }
}

impl Engine {
    /// Of a service.
    ///
    /// # Errors
    /// Where threads cannot be started, or the tables not be made.
    pub fn of_site(site: &Site) -> Result<Self> {
        let catchments = site.pipeline().catchments.clone();
        let source = Source { site: Some(site.clone()), archive: site.archive().clone(), catchments };
        Self::new(source, Limits::of(&site.pipeline().serve))
    }

    /// Of a source.
    ///
    /// # Errors
    /// Where threads cannot be started, or the tables not be made.
    pub fn new(source: Source, limits: Limits) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let base = base(&source, threads)?;
        let threads = Threads::new(threads)?;
        Ok(Self { inner: Arc::new(Inner { source, limits, base, places: Semaphore::new(PLACES), threads }) })
    }

    /// A session of one query, with what it sees now and with its own memory.
    pub(crate) fn session(&self) -> (SessionState, Arc<View>) {
        let Inner { source, limits, base, .. } = &*self.inner;
        let memory = source.site.as_ref().map(Memory::of).unwrap_or_default();
        let view = Arc::new(View::new(memory, source.archive.clone()));
        let pool = TrackConsumersPool::new(GreedyMemoryPool::new(limits.memory_mib << 20), CONSUMERS);
        let runtime = RuntimeEnv { memory_pool: Arc::new(pool), ..(**base.runtime_env()).clone() };
        let session = SessionStateBuilder::new_from_existing(base.clone())
            .with_config(base.config().clone().with_extension(view.clone()))
            .with_runtime_env(Arc::new(runtime))
            .build();
        (session, view)
    }

    /// The tables by name, with their columns.
    pub(crate) async fn tables(&self) -> Result<Vec<(String, SchemaRef)>> {
        let schema = self.inner.base.catalog_list().catalog(DATABASE).and_then(|database| database.schema(SCHEMA));
        let Some(schema) = schema else { return Ok(Vec::new()) };
        let mut tables = Vec::new();
        for name in schema.table_names() {
            if let Some(table) = schema.table(&name).await? {
                tables.push((name, table.schema()));
            }
        }
        tables.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(tables)
    }

    /// Counts a query, where a service has metrics.
    pub(crate) fn count(&self, outcome: &'static str) {
        if let Some(site) = &self.inner.source.site {
            site.count_sql(outcome);
        }
    }

    /// A session that plans and runs nothing.
    pub(crate) fn planner(&self) -> &SessionState {
        &self.inner.base
    }
}

fn base(source: &Source, threads: usize) -> Result<SessionState> {
    let cache = CacheManagerConfig { metadata_cache_limit: FOOTERS, ..CacheManagerConfig::default() };
    let runtime = RuntimeEnvBuilder::new()
        .with_cache_manager(cache)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .with_object_store_registry(Arc::new(ArchiveOnly::new(source.archive.clone())))
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(DATABASE, SCHEMA)
        .with_information_schema(true)
        .with_target_partitions(threads);
    let options = config.options_mut();
    options.execution.enable_recursive_ctes = false;
    options.execution.time_zone = Some("UTC".to_owned());
    // Files are pruned here, by the page index too, and filtered while they are decoded.
    options.execution.parquet.pushdown_filters = true;
    let state = SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(runtime).build();
    let context = SessionContext::new_with_state(state);
    for table in TABLES {
        context.register_table(table.name, Arc::new(Rows { table }))?;
    }
    if source.site.is_some() {
        context.register_table(LATEST, Arc::new(Latest))?;
    }
    for (name, batch) in [(STATION, stations(&source.catchments)?), (THRESHOLD, thresholds(&source.catchments)?)] {
        context.register_table(name, Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))?;
    }
    setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(|error| *error)?;
    for function in UNBOUNDED {
        context.deregister_udf(function);
        context.deregister_udtf(function);
    }
    // Neither files nor other tables can be made, whatever a statement says.
    let mut state = context.state();
    state.table_factories_mut().clear();
    Ok(state)
}
