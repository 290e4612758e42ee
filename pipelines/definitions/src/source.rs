//! One source of a definition.

use std::sync::Arc;

use nilometer_connectors::Connector;
use nilometer_schemas::Variable;
use nilometer_transforms::Span;

/// One source.
#[derive(Debug, Clone)]
pub struct SourceDefinition {
    /// how long after a value's time (for a period: after its end; for a weather forecast: after its issue time) it arrives in a replay;
    /// negative is foresight
    pub delay: Span,
    /// its kind and options
    pub connector: Arc<dyn Connector>,
}

impl SourceDefinition {
    /// Whether it tells how much water the gauges measure: as discharge, or as stage, which is rated.
    #[must_use]
    pub fn observes_discharge(&self) -> bool {
        matches!(self.variable(), Variable::Discharge | Variable::Stage)
    }

    /// Whether it delivers a weather forecast, and not what was.
    #[must_use]
    pub fn is_forecast(&self) -> bool {
        self.connector.is_forecast()
    }

    /// The station that all of it is of; none where a column says, and for fields and folders.
    #[must_use]
    pub fn station(&self) -> Option<&str> {
        self.connector.station()
    }

    /// Seconds that each of its values is of; 0 for instants.
    #[must_use]
    pub fn period_s(&self) -> i64 {
        self.connector.period().seconds()
    }

    /// What the source is about.
    #[must_use]
    pub fn variable(&self) -> Variable {
        self.connector.variable()
    }
}
