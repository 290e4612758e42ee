//! Registry: metrics that are scraped, and what each of them is, also while it has no value.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{
    core::Collector,
    proto::{MetricFamily, MetricType},
};

/// What a metric is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// counter, gauge or histogram
    pub kind: &'static str,
    /// what it counts or says
    pub help: String,
    /// labels, those of the registry too
    pub labels: Vec<String>,
}

/// Metrics that are scraped together. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    scraped: prometheus::Registry,
    labels: Vec<String>,
    known: Arc<Mutex<BTreeMap<String, Described>>>,
}

impl Registry {
    /// One whose metrics all have a label.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the label's name is none.
    pub fn labelled(name: &str, value: String) -> Result<Self, prometheus::Error> {
        let scraped = prometheus::Registry::new_custom(None, Some(HashMap::from([(name.to_owned(), value)])))?;
        Ok(Self { scraped, labels: vec![name.to_owned()], known: Arc::default() })
    }

    /// Adds metrics.
    ///
    /// # Errors
    /// [`prometheus::Error`] when it has one of the same name and labels.
    pub fn register(&self, metrics: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        let families = metrics.collect();
        let described = families.iter().filter_map(|family| {
            let of = metrics.desc().into_iter().find(|of| of.fq_name == family.name())?;
            let constant = of.const_label_pairs.iter().map(|pair| pair.name().to_owned());
            let labels = of.variable_labels.iter().cloned().chain(constant).chain(self.labels.iter().cloned());
            let kind = kind(family.get_field_type());
            Some((of.fq_name.clone(), Described { kind, help: of.help.clone(), labels: labels.collect() }))
        });
        let described: Vec<_> = described.collect();
        self.scraped.register(metrics)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(described);
        Ok(())
    }

    /// What has a value.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.scraped.gather()
    }

    /// Everything that was added, by name.
    #[must_use]
    pub fn described(&self) -> BTreeMap<String, Described> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("labels", &self.labels).finish_non_exhaustive()
    }
}

const fn kind(of: MetricType) -> &'static str {
    match of {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounterVec, Opts};

    use super::*;

    #[test]
    fn what_has_no_value_yet_is_described_and_not_scraped() {
        let registry = Registry::labelled("partition", "3".to_owned()).unwrap();
        let dead_letters = IntCounterVec::new(Opts::new("dead_letters_total", "rows refused"), &["reason"]).unwrap();
        registry.register(Box::new(dead_letters.clone())).unwrap();
        assert!(registry.gather().is_empty());
        let labels = vec!["reason".to_owned(), "partition".to_owned()];
        let described = Described { kind: "counter", help: "rows refused".to_owned(), labels };
        assert_eq!(registry.described(), BTreeMap::from([("dead_letters_total".to_owned(), described)]));
        dead_letters.with_label_values(&["late"]).inc();
        assert_eq!(registry.gather().len(), 1);
        assert!(registry.register(Box::new(dead_letters)).is_err());
    }
}
