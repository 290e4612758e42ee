//! Source: one column of a folder of many catchments. Those of one folder read its files once.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use nilometer_schemas::{Timestamp, Variable};
use nilometer_transforms::{Decode, Span, decode::Station};

use super::{FolderColumn, FolderOptions, series::Steps};
use crate::{Arrival, Connector, OptionProblem, Source, SourceError, Window};

/// One column of a folder.
#[derive(Debug, Clone)]
pub struct FolderSource {
    options: Arc<FolderOptions>,
    column: FolderColumn,
    loaded: Arc<Mutex<Loaded>>,
}

/// What was read of the folder last: forcing and discharge, each with its window.
type Loaded = [Option<((Timestamp, Timestamp), Arc<Steps>)>; 2];

impl FolderSource {
    /// A source for each of `columns`.
    #[must_use]
    pub fn each(options: &FolderOptions, columns: &[FolderColumn]) -> Vec<Self> {
        let (options, loaded) = (Arc::new(options.clone()), Arc::default());
        let source = |column: &FolderColumn| Self {
            options: Arc::clone(&options),
            column: *column,
            loaded: Arc::clone(&loaded),
        };
        columns.iter().map(source).collect()
    }

    fn steps(&self, window: (Timestamp, Timestamp)) -> Result<Arc<Steps>, SourceError> {
        let discharge = self.column == self.options.layout.discharge();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = &mut loaded[usize::from(discharge)];
        if let Some((_, steps)) = of_kind.as_ref().filter(|(of, _)| *of == window) {
            return Ok(Arc::clone(steps));
        }
        let steps = Arc::new(Steps::load(&self.options, discharge, window)?);
        *of_kind = Some((window, Arc::clone(&steps)));
        Ok(steps)
    }
}

impl Connector for FolderSource {
    fn variable(&self) -> Variable {
        self.column.variable
    }

    fn period(&self) -> Span {
        Span::from_seconds(self.options.layout.step_s())
    }

    fn folder(&self) -> Option<&FolderOptions> {
        Some(&self.options)
    }

    /// Those of the folder are found with its inventory.
    fn problems(&self, _: &Path) -> Vec<OptionProblem> {
        Vec::new()
    }

    fn open(&self, name: &str, arrival: Arrival, _: &Path, window: Window) -> Result<Box<dyn Source>, SourceError> {
        let Arrival::Delay { delay } = arrival else {
            let problem = "is a record of the past; accepted are replay and hindcast".to_owned();
            return Err(SourceError::Options { name: name.to_owned(), key: "path".to_owned(), problem });
        };
        // The first step begins before its end, and what is known ahead arrives by the end of the window.
        let begin = window.from.plus_s(-self.options.layout.step_s());
        let steps = self.steps((begin, window.until.plus_s((-delay.seconds()).max(0))))?;
        Ok(steps.source(&self.options, name, self.column, delay.seconds()))
    }

    fn decoder(&self, _: BTreeMap<String, Station>) -> Result<Box<dyn Decode>, OptionProblem> {
        let layout = self.column.layout().map_err(|error| (self.column.name.to_owned(), error.to_string()))?;
        Ok(Box::new(layout))
    }

    fn holdings(&self, _: &str, _: &Path, _: Window) -> String {
        format!("{} has no {} of the window", self.options.path.display(), self.column.name)
    }
}
