//! What `/metrics` shows: the process's own numbers, and those of the partitions that it has just now.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use nilometer_engine::Registry;
#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;

use crate::{disk::Disk, role_kind::RoleKind};

/// The registries of one process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Exposition {
    process: Registry,
    parts: Arc<Mutex<BTreeMap<(RoleKind, u32), Registry>>>,
}

impl Exposition {
    /// Of a process with its own metrics, and those of the disk where its store is a folder.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn of_process(store: Option<PathBuf>) -> Result<Self, prometheus::Error> {
        let exposition = Self::default();
        #[cfg(target_os = "linux")]
        exposition.process.register(Box::new(ProcessCollector::for_self()))?;
        if let Some(folder) = store {
            exposition.process.register(Box::new(Disk::of(folder)?))?;
        }
        Ok(exposition)
    }

    /// What is of the process.
    pub const fn process(&self) -> &Registry {
        &self.process
    }

    /// Shows what a kind of role has of a partition.
    pub fn show(&self, kind: RoleKind, number: u32, registry: Registry) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, number), registry);
    }

    /// Shows it no longer.
    pub fn forget(&self, kind: RoleKind, number: u32) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, number));
    }

    /// Everything, each family once, by name.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let parts: Vec<Registry> =
            self.parts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
        for mut family in parts.iter().chain([&self.process]).flat_map(Registry::gather) {
            match families.get_mut(family.name()) {
                Some(known) => known.mut_metric().append(&mut family.take_metric()),
                None => drop(families.insert(family.name().to_owned(), family)),
            }
        }
        families.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use nilometer_engine::Metrics;
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn a_family_of_several_partitions_is_written_once_and_goes_with_them() {
        let exposition = Exposition::default();
        let metrics = Metrics::new(exposition.process()).unwrap();
        for number in [0, 7] {
            let part = metrics.of_partition(number).unwrap();
            part.role("forecast").messages.inc();
            exposition.show(RoleKind::Forecast, number, part.registry().clone());
        }
        metrics.role("ingest").messages.inc();
        let text = || TextEncoder::new().encode_to_string(&exposition.gather()).unwrap();
        assert_eq!(text().matches("# TYPE nilometer_messages_total").count(), 1);
        assert_eq!(text().matches("nilometer_messages_total{").count(), 3);
        exposition.forget(RoleKind::Forecast, 7);
        let text = text();
        assert!(text.contains("partition=\"0\"") && !text.contains("partition=\"7\""), "{text}");
    }
}
