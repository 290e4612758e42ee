//! Parameters of a statement: what they are compared with, in the order of their numbers, and values in their place.

use arrow::datatypes::DataType;
use datafusion::{common::ParamValues, logical_expr::LogicalPlan};

use crate::SqlError;

/// The types of `$1`, `$2`, …; none where nothing says what one is compared with.
pub(crate) fn types(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, SqlError> {
    let found = plan.get_parameter_types().map_err(|error| SqlError::Statement(error.strip_backtrace()))?;
    let mut numbered: Vec<(u32, Option<DataType>)> =
        found.into_iter().map(|(name, of)| (name.trim_start_matches('$').parse().unwrap_or(u32::MAX), of)).collect();
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered.into_iter().map(|(_, of)| of).collect())
}

/// The plan with values in place of its parameters.
pub(crate) fn bound(plan: LogicalPlan, values: &ParamValues) -> Result<LogicalPlan, SqlError> {
    plan.replace_params_with_values(values).map_err(|error| SqlError::Statement(error.strip_backtrace()))
}
