//! Table: a contract's rows as DataFusion scans them, of one view.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, ToDFSchema as _, internal_datafusion_err},
    datasource::{
        listing::PartitionedFile,
        memory::MemorySourceConfig,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::CachedParquetFileReaderFactory},
        source::DataSourceExec,
    },
    logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction},
    physical_expr::PhysicalExpr,
    physical_optimizer::pruning::PruningPredicateBuilder,
    physical_plan::{ExecutionPlan, union::UnionExec},
};
use nilometer_archive::ContentObject;
use nilometer_schemas::Contract;

use crate::{store::archive_url, tables::RowTable, view::View};

/// A table of rows, in memory and in the archive.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) table: RowTable,
}

/// The newest forecast of each catchment.
#[derive(Debug)]
pub(crate) struct Latest;

/// What a query sees, which the engine puts into each session.
fn view(state: &dyn Session) -> Result<Arc<View>> {
    state.config().get_extension::<View>().ok_or_else(|| internal_datafusion_err!("a session has no view"))
}

#[async_trait]
impl TableProvider for Rows {
    fn schema(&self) -> SchemaRef {
        self.table.contract.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// They prune, and rows that are left are filtered above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let filter = conjunction(filters.to_vec());
        let predicate =
            filter.map(|filter| state.create_physical_expr(filter, &schema.clone().to_dfschema()?)).transpose()?;
        // What cannot be turned into a predicate on bounds prunes nothing.
        let pruning = predicate.clone().and_then(|predicate| {
            PruningPredicateBuilder::new().with_file_schema(schema.clone()).try_build(predicate).ok()
        });
        let pruning = pruning.filter(|pruning| !pruning.always_true());
        let scanned = view(state)?.scan(&self.table, pruning.as_ref()).await?;
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !scanned.objects.is_empty() {
            parts.push(files(state, &schema, scanned.objects, predicate, projection, limit)?);
        }
        if !scanned.messages.is_empty() || parts.is_empty() {
            parts.push(memory(&schema, scanned.messages, projection)?);
        }
        if parts.len() == 1 { Ok(parts.remove(0)) } else { UnionExec::try_new(parts) }
    }
}

#[async_trait]
impl TableProvider for Latest {
    fn schema(&self) -> SchemaRef {
        Contract::Forecast.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        memory(&self.schema(), view(state)?.newest_forecasts(), projection)
    }
}

fn memory(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(MemorySourceConfig::try_new_exec(&[batches], schema.clone(), projection.cloned())?)
}

/// Files are pruned by their statistics and their page index, and rows by the predicate before other columns are decoded.
fn files(
    state: &dyn Session,
    schema: &SchemaRef,
    objects: Vec<ContentObject>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (url, runtime) = (archive_url()?, state.runtime_env());
    let cache = runtime.cache_manager.get_file_metadata_cache();
    let factory = CachedParquetFileReaderFactory::new(runtime.object_store(&url)?, cache);
    let mut source = ParquetSource::new(schema.clone())
        .with_parquet_file_reader_factory(Arc::new(factory))
        .with_pushdown_filters(true)
        .with_reorder_filters(true)
        .with_enable_page_index(true);
    if let Some(predicate) = predicate {
        source = source.with_predicate(predicate);
    }
    // Objects never change under their key, so the time of none matters to the cache.
    let objects: Vec<PartitionedFile> =
        objects.into_iter().map(|object| PartitionedFile::new(object.key.to_string(), object.size)).collect();
    let groups = FileGroup::new(objects).split_files(state.config().target_partitions());
    let config = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(groups)
        .with_projection_indices(projection.cloned())?
        .with_limit(limit)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}
