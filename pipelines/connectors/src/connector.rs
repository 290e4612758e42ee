//! Connectors: the kinds of source that a definition may have. Each is a file with its options, their checks and documentation, and what they open; it
//! is listed here once.

use std::{collections::BTreeMap, fmt, path::Path};

use nilometer_schemas::Variable;
use nilometer_transforms::{Decode, Span, decode::Station};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Arrival, FolderOptions, GeotiffOptions, Source, SourceError, TableOptions, Window};

/// Key of an option, and what is wrong with it or without effect.
pub type OptionProblem = (String, String);

/// A source in a definition: what it delivers, what is wrong with its options, and what they open.
pub trait Connector: fmt::Debug + Send + Sync {
    /// What the values are about.
    fn variable(&self) -> Variable;

    /// Length of each value's period; 0 s for instants.
    fn period(&self) -> Span;

    /// Every problem, with what is accepted. Paths are below `root`.
    fn problems(&self, root: &Path) -> Vec<OptionProblem>;

    /// Opens the source.
    ///
    /// # Errors
    /// [`SourceError`] where the options have problems or the data cannot be read.
    fn open(&self, name: &str, arrival: Arrival, root: &Path, window: Window) -> Result<Box<dyn Source>, SourceError>;

    /// How what it gives is decoded, for the stations of a pipeline by their names.
    ///
    /// # Errors
    /// The first of [`Connector::problems`].
    fn decoder(&self, stations: BTreeMap<String, Station>) -> Result<Box<dyn Decode>, OptionProblem>;

    /// What the source holds, in words, where it gives no row of a window.
    fn holdings(&self, name: &str, root: &Path, window: Window) -> String;

    /// The options that have no effect, of those that `given` says are there.
    fn without_effect(&self, _given: &dyn Fn(&str) -> bool) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// That the source's data are not there yet, in words; in operations they may come later.
    fn awaited(&self, _root: &Path) -> Option<String> {
        None
    }

    /// Whether it delivers fields, which are averaged over catchments.
    fn delivers_fields(&self) -> bool {
        false
    }

    /// Whether it delivers a weather forecast, and not what was.
    fn is_forecast(&self) -> bool {
        false
    }

    /// Whether its values come again every year.
    fn recurs(&self) -> bool {
        false
    }

    /// The station that all of it is of.
    fn station(&self) -> Option<&str> {
        None
    }

    /// Whether it delivers every station of the pipeline for certain; a table whose column says the station may have others.
    fn has_every_station(&self) -> bool {
        true
    }

    /// The folder of many catchments that it is a column of.
    fn folder(&self) -> Option<&FolderOptions> {
        None
    }
}

/// What is done with the options of a kind, whatever their type.
pub trait ConnectorVisitor {
    /// what it gives
    type Output;

    /// Visits the options' type.
    fn visit<C: Connector + DeserializeOwned + JsonSchema + 'static>(self) -> Self::Output;
}

/// Lists the kinds: the name in a definition, and the type of the options.
macro_rules! connectors {
    ($($kind:literal => $options:ty,)*) => {
        /// Every kind by its name.
        pub const CONNECTORS: [&str; [$($kind),*].len()] = [$($kind),*];

        /// Visits the options of a kind; none where there is no such kind.
        pub fn visit_connector<V: ConnectorVisitor>(kind: &str, visitor: V) -> Option<V::Output> {
            match kind {
                $($kind => Some(visitor.visit::<$options>()),)*
                _ => None,
            }
        }
    };
}

connectors! {
    "table" => TableOptions,
    "geotiff" => GeotiffOptions,
}
