//! Prepared: a statement of Flight SQL and what its parameters are bound to. Its handle is both of these, so the service keeps nothing between two
//! requests, and what comes back is judged anew each time.

use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use datafusion::{
    common::{ParamValues, ScalarValue},
    logical_expr::LogicalPlan,
};
use prost::bytes::Bytes;
use tonic::Status;

use crate::{Engine, Rows, SqlError, parameters};

/// Between the text and the values: no statement has it.
const END_OF_TEXT: u8 = 0;

/// A statement and the values of its parameters.
pub(crate) struct Prepared {
    text: String,
    /// a row, a column each
    values: Option<RecordBatch>,
}

impl Prepared {
    /// Of a statement whose parameters, if any, are not bound yet.
    pub(crate) const fn new(text: String) -> Self {
        Self { text, values: None }
    }

    /// What a handle stands for.
    pub(crate) fn of(handle: &[u8]) -> Result<Self, Status> {
        let (text, values) = match handle.iter().position(|byte| *byte == END_OF_TEXT) {
            Some(end) => (&handle[..end], Some(&handle[end + 1..])),
            None => (handle, None),
        };
        let text =
            std::str::from_utf8(text).map_err(|_| Status::invalid_argument("the statement is not UTF-8"))?.to_owned();
        let read = |bytes| StreamReader::try_new(bytes, None)?.next().transpose();
        let values = values.map(read).transpose().map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Self { text, values: values.flatten() })
    }

    /// Binds the parameters to the one row of a batch.
    pub(crate) fn bind(self, values: RecordBatch) -> Result<Self, Status> {
        if values.num_rows() != 1 {
            let detail = format!("{} rows of parameters; accepted is one", values.num_rows());
            return Err(Status::invalid_argument(detail));
        }
        Ok(Self { values: Some(values), ..self })
    }

    /// What names it from now on.
    pub(crate) fn handle(&self) -> Result<Bytes, ArrowError> {
        let mut handle = self.text.clone().into_bytes();
        if let Some(values) = &self.values {
            handle.push(END_OF_TEXT);
            let mut writer = StreamWriter::try_new(&mut handle, &values.schema())?;
            writer.write(values)?;
            writer.finish()?;
        }
        Ok(handle.into())
    }

    /// The columns of its answer and those of its parameters.
    pub(crate) async fn columns(&self, engine: &Engine) -> Result<(SchemaRef, Schema), SqlError> {
        let plan = self.plan(engine).await?;
        let of_parameter = |(number, of): (usize, Option<_>)| {
            Field::new(format!("${}", number + 1), of.unwrap_or(arrow::datatypes::DataType::Null), true)
        };
        let parameters: Vec<Field> = parameters::types(&plan)?.into_iter().enumerate().map(of_parameter).collect();
        Ok((plan.schema().inner().clone(), Schema::new(parameters)))
    }

    /// Its rows.
    pub(crate) async fn rows(&self, engine: &Engine) -> Result<Rows, SqlError> {
        if self.values.is_none() {
            return engine.query(&self.text).await;
        }
        engine.run(self.plan(engine).await?).await
    }

    async fn plan(&self, engine: &Engine) -> Result<LogicalPlan, SqlError> {
        let plan = engine.plan(engine.accepted(&self.text)?).await?;
        let Some(values) = &self.values else { return Ok(plan) };
        let values: Result<Vec<_>, _> =
            values.columns().iter().map(|column| ScalarValue::try_from_array(column, 0)).collect();
        let values = values.map_err(|error| SqlError::Statement(error.strip_backtrace()))?;
        parameters::bound(plan, &ParamValues::from(values))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    #[test]
    fn a_handle_stands_for_the_statement_and_its_values() {
        let columns = |rows: usize| {
            let names: ArrayRef = Arc::new(StringArray::from(vec!["V3524010"; rows]));
            let levels: ArrayRef = Arc::new(Float64Array::from(vec![0.5; rows]));
            RecordBatch::try_from_iter([("0", names), ("1", levels)]).unwrap()
        };
        let text = "SELECT * FROM forecast WHERE catchment = $1 AND q50 > $2";
        let plain = Prepared::new(text.to_owned());
        assert_eq!(plain.handle().unwrap(), text.as_bytes());
        let bound = plain.bind(columns(1)).unwrap();
        let again = Prepared::of(&bound.handle().unwrap()).unwrap();
        assert_eq!((again.text.as_str(), again.values), (text, Some(columns(1))));
        assert!(Prepared::new(text.to_owned()).bind(columns(2)).is_err());
        assert!(Prepared::of(b"SELECT 1\0not Arrow").is_err());
        assert!(Prepared::of(b"\xff").is_err());
    }
}
