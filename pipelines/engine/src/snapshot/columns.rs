//! Columns: the numbers of a snapshot by name, a row for each catchment.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray as _, ListBuilder, PrimitiveBuilder, RecordBatch, RecordBatchOptions, StringArray,
    },
    datatypes::{ArrowPrimitiveType, DataType, Field, Float32Type, Float64Type, Int64Type, Schema},
    error::ArrowError,
};

/// Name of the column that names the rows.
const KEY: &str = "key";

/// Named columns, each with a list of numbers a row: `Float32`, `Float64` or `Int64`. The rows have names as well, those of catchments, so that
/// another definition finds those that it still has.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    batch: RecordBatch,
}

/// Builds [`Columns`], a column after the other.
#[derive(Debug)]
pub struct ColumnsBuilder {
    rows: usize,
    prefix: String,
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl ColumnsBuilder {
    /// Of rows with these names.
    #[must_use]
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let keys = StringArray::from_iter_values(keys);
        Self {
            rows: keys.len(),
            prefix: String::new(),
            fields: vec![Field::new(KEY, DataType::Utf8, false)],
            arrays: vec![Arc::new(keys)],
        }
    }

    /// Adds the columns that `add` adds, with `prefix` before their names.
    pub fn with_prefix(&mut self, prefix: &str, add: impl FnOnce(&mut Self)) {
        let before = self.prefix.len();
        self.prefix.push_str(prefix);
        add(self);
        self.prefix.truncate(before);
    }

    /// Adds a column of float32.
    pub fn f32<I: IntoIterator<Item = f32>>(&mut self, name: &str, of_row: impl Fn(usize) -> I) {
        self.add::<Float32Type, I>(name, of_row);
    }

    /// Adds a column of float64.
    pub fn f64<I: IntoIterator<Item = f64>>(&mut self, name: &str, of_row: impl Fn(usize) -> I) {
        self.add::<Float64Type, I>(name, of_row);
    }

    /// Adds a column of integers, as times in microseconds since the epoch.
    pub fn i64<I: IntoIterator<Item = i64>>(&mut self, name: &str, of_row: impl Fn(usize) -> I) {
        self.add::<Int64Type, I>(name, of_row);
    }

    fn add<T: ArrowPrimitiveType, I: IntoIterator<Item = T::Native>>(
        &mut self,
        name: &str,
        of_row: impl Fn(usize) -> I,
    ) {
        let mut lists = ListBuilder::new(PrimitiveBuilder::<T>::new());
        for row in 0..self.rows {
            of_row(row).into_iter().for_each(|number| lists.values().append_value(number));
            lists.append(true);
        }
        let lists = lists.finish();
        self.fields.push(Field::new(format!("{}{name}", self.prefix), lists.data_type().clone(), false));
        self.arrays.push(Arc::new(lists));
    }

    /// The columns.
    ///
    /// # Errors
    /// [`ArrowError`] where two columns have one name.
    pub fn finish(self) -> Result<Columns, ArrowError> {
        let mut names: Vec<&String> = self.fields.iter().map(Field::name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ArrowError::SchemaError(format!("two columns are named {}", pair[0])));
        }
        Ok(Columns { batch: RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)? })
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self { batch: RecordBatch::new_empty(Arc::new(Schema::empty())) }
    }
}

impl Columns {
    /// Of a batch as a snapshot holds it, without the headers.
    pub(super) fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let schema = Arc::new(Schema::new(batch.schema_ref().fields().clone()));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(Self { batch: RecordBatch::try_new_with_options(schema, batch.columns().to_vec(), &options)? })
    }

    /// As a snapshot holds them.
    pub(super) const fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Names of the columns besides that of the keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().as_str()).filter(|name| *name != KEY)
    }

    /// Names of the rows in order.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let keys = self.batch.column_by_name(KEY).and_then(|keys| keys.as_string_opt::<i32>());
        keys.map_or_else(Vec::new, |keys| keys.iter().flatten().collect())
    }

    /// The columns as a definition with these `keys` reads them.
    #[must_use]
    pub fn keyed<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> KeyedColumns<'_> {
        let rows: BTreeMap<&str, usize> = self.keys().into_iter().enumerate().map(|(row, key)| (key, row)).collect();
        let rows = keys.into_iter().map(|key| rows.get(key).copied()).collect();
        KeyedColumns { columns: self, prefix: String::new(), rows }
    }

    fn numbers<T: ArrowPrimitiveType>(&self, name: &str, row: usize) -> Option<&[T::Native]> {
        let lists = self.batch.column_by_name(name)?.as_list_opt::<i32>()?;
        let (numbers, offsets) = (lists.values().as_primitive_opt::<T>()?, lists.value_offsets());
        let bound = |at: usize| offsets.get(at).and_then(|offset| usize::try_from(*offset).ok());
        numbers.values().get(bound(row)?..bound(row + 1)?)
    }
}

/// Columns, by the keys of those who read them: a key that is new has no numbers.
#[derive(Debug)]
pub struct KeyedColumns<'a> {
    columns: &'a Columns,
    prefix: String,
    rows: Vec<Option<usize>>,
}

impl<'a> KeyedColumns<'a> {
    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns that [`ColumnsBuilder::with_prefix`] added.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Self { columns: self.columns, prefix: format!("{}{prefix}", self.prefix), rows: self.rows.clone() }
    }

    fn numbers<T: ArrowPrimitiveType>(&self, name: &str, place: usize) -> Option<&'a [T::Native]> {
        let row = self.rows[place]?;
        match self.prefix.as_str() {
            "" => self.columns.numbers::<T>(name, row),
            prefix => self.columns.numbers::<T>(&format!("{prefix}{name}"), row),
        }
    }

    /// The numbers of the key at `place` in a column of float32; none where the key is new, or there is no such column.
    #[must_use]
    pub fn f32(&self, name: &str, place: usize) -> Option<&'a [f32]> {
        self.numbers::<Float32Type>(name, place)
    }

    /// The numbers of the key at `place` in a column of float64; none where the key is new, or there is no such column.
    #[must_use]
    pub fn f64(&self, name: &str, place: usize) -> Option<&'a [f64]> {
        self.numbers::<Float64Type>(name, place)
    }

    /// The numbers of the key at `place` in a column of integers; none where the key is new, or there is no such column.
    #[must_use]
    pub fn i64(&self, name: &str, place: usize) -> Option<&'a [i64]> {
        self.numbers::<Int64Type>(name, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_name_and_row() {
        let mut builder = ColumnsBuilder::new(["b", "a"]);
        builder.f32("store", |row| vec![row as f32; row + 1]);
        builder.f64("flow", |row| [0.1 * row as f64]);
        builder.i64("time", |_| []);
        let columns = builder.finish().unwrap();
        let keyed = columns.keyed(["a", "c", "b"]);
        assert_eq!((keyed.f32("store", 2), keyed.f32("store", 0)), (Some(&[0.0][..]), Some(&[1.0, 1.0][..])));
        assert_eq!((keyed.f64("flow", 0), keyed.i64("time", 0)), (Some(&[0.1][..]), Some(&[][..])));
        assert_eq!((keyed.f64("store", 0), keyed.f32("other", 0), keyed.f32("store", 1)), (None, None, None));
        assert_eq!(columns.names().collect::<Vec<_>>(), ["store", "flow", "time"]);
        assert!(Columns::default().keys().is_empty());
    }

    #[test]
    fn a_prefix_tells_columns_of_one_name_apart() {
        let mut builder = ColumnsBuilder::new(["a"]);
        builder.f32("store", |_| [1.0]);
        builder.with_prefix("shadow.", |builder| builder.f32("store", |_| [2.0]));
        builder.f32("flow", |_| [3.0]);
        let columns = builder.finish().unwrap();
        let keyed = columns.keyed(["a"]);
        assert_eq!((keyed.f32("store", 0), keyed.f32("flow", 0)), (Some(&[1.0][..]), Some(&[3.0][..])));
        assert_eq!(keyed.with_prefix("shadow.").f32("store", 0), Some(&[2.0][..]));
        assert_eq!(keyed.with_prefix("shadow.").f32("flow", 0), None);
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let mut builder = ColumnsBuilder::new(["a"]);
        builder.f32("store", |_| [1.0]);
        builder.f64("store", |_| [1.0]);
        assert!(builder.finish().is_err());
    }
}
