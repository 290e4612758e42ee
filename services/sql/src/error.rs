//! Why a query has no answer.

use std::{error::Error, time::Duration};

use datafusion::error::DataFusionError;
use nilometer_archive::ArchiveError;
use nilometer_serve::Problem;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// a statement that is not of the allow-list
    #[error("{what} is not accepted; accepted is one SELECT, EXPLAIN or SHOW")]
    Refused {
        /// the statement, shortened
        what: String,
    },
    /// a statement that means nothing, or fails on its values
    #[error("{0}")]
    Statement(String),
    /// more time than a query has
    #[error("the query took longer than {}; accepted is one that reads less, or a longer serve.sql_time", seconds(*limit))]
    Time {
        /// what it has
        limit: Duration,
    },
    /// more rows than an answer has
    #[error("the answer has more than {limit} rows; accepted is a LIMIT, an aggregate, or more serve.sql_rows")]
    Rows {
        /// what it has
        limit: u64,
    },
    /// more memory than a query has
    #[error(
        "the query needs more than {limit_mib} MiB; accepted is one that groups, sorts or joins less, or more serve.sql_memory_mib"
    )]
    Memory {
        /// what it has
        limit_mib: usize,
    },
    /// all places are taken
    #[error("{places} queries are being worked on; accepted is to try again")]
    Busy {
        /// how many there are
        places: usize,
    },
    /// compaction has removed what a query was reading, several times
    #[error("the archive was compacted while it was read; accepted is to try again")]
    Compacted,
    /// our own fault, or the store's
    #[error("the query failed; the log of the service says why")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

impl SqlError {
    /// What DataFusion says, for who asked.
    pub(crate) fn of(error: DataFusionError, limit_mib: usize) -> Self {
        if is_gone(&error) {
            return Self::Compacted;
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory { limit_mib },
            DataFusionError::ObjectStore(_)
            | DataFusionError::IoError(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::External(_)
            | DataFusionError::ExecutionJoin(_)
            | DataFusionError::Internal(_) => Self::Internal(Box::new(error)),
            _ => Self::Statement(error.strip_backtrace()),
        }
    }

    /// The same as a problem. What is our own fault goes to the log.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Refused { .. } | Self::Statement(_) => Problem::bad_request(self.to_string()),
            Self::Time { .. } | Self::Rows { .. } | Self::Memory { .. } => Problem::over_limit(self.to_string()),
            Self::Busy { .. } | Self::Compacted => Problem::too_many(self.to_string()),
            Self::Internal(_) => Problem::internal(self),
        }
    }

    /// As metrics name it.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Statement(_) => "wrong",
            Self::Time { .. } => "time",
            Self::Rows { .. } => "rows",
            Self::Memory { .. } => "memory",
            Self::Busy { .. } => "busy",
            Self::Compacted => "compacted",
            Self::Internal(_) => "failed",
        }
    }

    /// Whether the same query may have an answer now.
    pub(crate) const fn is_compacted(&self) -> bool {
        matches!(self, Self::Compacted)
    }
}

/// Whether an object that a query was to read is not there any more: compaction has put its rows into a file.
fn is_gone(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. }))
            || matches!(error.downcast_ref(), Some(ArchiveError::Gone { .. }))
        {
            return true;
        }
        next = error.source();
    }
    false
}
