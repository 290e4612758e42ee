//! Columns: the kinds of column that a contract may have, each with its Arrow type, its builder and the value of a row.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayBuilder, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, Float32Array,
        Float32Builder, Float64Array, Float64Builder, GenericByteBuilder, Int32Array, Int32Builder, Int64Array,
        Int64Builder, ListArray, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
        TimestampMicrosecondBuilder, UInt8Array, UInt8Builder, UInt64Array, UInt64Builder,
    },
    datatypes::{ByteArrayType, DataType, Field, TimeUnit},
};

use crate::{
    Flag, QUANTILE_LEVELS, Reason, STAGE_LEVELS, TAIL_LEVELS, Timestamp, Variable, quantile_column, stage_column,
};

/// A kind of column, or of several that a row fills together. `append` is a function of each kind, so that lists take iterators.
pub trait Column {
    /// what a row gives
    type Value<'a>;
    /// what the values are collected in
    type Builder: Collects;
    /// how a batch gives the column
    type View<'a>;

    /// The fields, in order.
    fn fields(name: &str) -> Vec<Field>;

    /// Appends the columns of what was collected; the builder is empty afterwards.
    fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>);

    /// The column of an accepted batch.
    fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a>;
}

/// Rows that a column has room for at first: most messages have few, and a builder of Arrow's own would begin with room for a thousand.
const ROWS: usize = 16;

/// Collects the values of a column.
pub trait Collects {
    /// No values yet.
    fn none() -> Self;
}

/// Declares builders of values of one size.
macro_rules! collects {
    ($($builder:ty),*) => { $(
        impl Collects for $builder {
            fn none() -> Self {
                Self::with_capacity(ROWS)
            }
        }
    )* };
}

collects!(
    BooleanBuilder,
    Float32Builder,
    Float64Builder,
    Int32Builder,
    Int64Builder,
    TimestampMicrosecondBuilder,
    UInt8Builder,
    UInt64Builder
);

impl<T: ByteArrayType> Collects for GenericByteBuilder<T> {
    fn none() -> Self {
        Self::with_capacity(ROWS, 16 * ROWS)
    }
}

impl<B: Collects + ArrayBuilder> Collects for ListBuilder<B> {
    fn none() -> Self {
        Self::with_capacity(B::none(), ROWS)
    }
}

impl<B: Collects, const N: usize> Collects for [B; N] {
    fn none() -> Self {
        std::array::from_fn(|_| B::none())
    }
}

/// A typed column of an accepted batch.
pub fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> &'a A {
    batch
        .column_by_name(name)
        .and_then(|a| a.as_any().downcast_ref::<A>())
        .expect("the contract was accepted, so the column is there with this type")
}

/// A field with metadata besides its own.
pub fn described(field: Field, more: &[(&str, &str)]) -> Field {
    let mut metadata: HashMap<String, String> = field.metadata().clone();
    metadata.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    field.with_metadata(metadata)
}

/// Declares kinds of one column each: the value of a row, the Arrow array and its builder, the Arrow type, whether it may be null, and how a value is
/// appended.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $value:ty, $array:ty, $builder:ty, $type:expr, $nullable:literal, |$to:ident, $given:ident| $append:expr;)*) => { $(
        $(#[$doc])*
        pub struct $kind;

        impl $kind {
            #[allow(clippy::extra_unused_lifetimes, reason = "numbers borrow nothing")]
            pub fn append<'a>($to: &mut $builder, $given: $value) {
                $append;
            }
        }

        impl Column for $kind {
            type Value<'a> = $value;
            type Builder = $builder;
            type View<'a> = &'a $array;

            fn fields(name: &str) -> Vec<Field> {
                vec![Field::new(name, $type, $nullable)]
            }

            fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
                columns.push(Arc::new(builder.finish()));
            }

            fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a> {
                column(batch, name)
            }
        }
    )* };
}

kinds! {
    /// words
    Text: &'a str, StringArray, StringBuilder, DataType::Utf8, false, |to, value| to.append_value(value);
    /// words, or null
    OptionalText: Option<&'a str>, StringArray, StringBuilder, DataType::Utf8, true, |to, value| to.append_option(value);
    /// the name of a variable
    VariableName: Variable, StringArray, StringBuilder, DataType::Utf8, false, |to, value| to.append_value(value.name());
    /// the name of a reason
    ReasonName: Reason, StringArray, StringBuilder, DataType::Utf8, false, |to, value| to.append_value(value.name());
    /// a real number
    Float64: f64, Float64Array, Float64Builder, DataType::Float64, false, |to, value| to.append_value(value);
    /// a real number, or null
    OptionalFloat64: Option<f64>, Float64Array, Float64Builder, DataType::Float64, true, |to, value| to.append_option(value);
    /// a real number of single precision
    Float32: f32, Float32Array, Float32Builder, DataType::Float32, false, |to, value| to.append_value(value);
    /// a whole number
    Int32: i32, Int32Array, Int32Builder, DataType::Int32, false, |to, value| to.append_value(value);
    /// a whole number, or null
    OptionalInt32: Option<i32>, Int32Array, Int32Builder, DataType::Int32, true, |to, value| to.append_option(value);
    /// a whole number
    Int64: i64, Int64Array, Int64Builder, DataType::Int64, false, |to, value| to.append_value(value);
    /// a number of things, or a position
    UInt64: u64, UInt64Array, UInt64Builder, DataType::UInt64, false, |to, value| to.append_value(value);
    /// yes or no
    Boolean: bool, BooleanArray, BooleanBuilder, DataType::Boolean, false, |to, value| to.append_value(value);
    /// yes or no, or null
    OptionalBoolean: Option<bool>, BooleanArray, BooleanBuilder, DataType::Boolean, true, |to, value| to.append_option(value);
    /// bytes
    Bytes: &'a [u8], BinaryArray, BinaryBuilder, DataType::Binary, false, |to, value| to.append_value(value);
}

/// Declares kinds of times.
macro_rules! times {
    ($($(#[$doc:meta])* $kind:ident: $value:ty, $nullable:literal, |$to:ident, $given:ident| $append:expr, $metadata:expr;)*) => { $(
        $(#[$doc])*
        pub struct $kind;

        impl $kind {
            pub fn append($to: &mut TimestampMicrosecondBuilder, $given: $value) {
                $append;
            }
        }

        impl Column for $kind {
            type Value<'a> = $value;
            type Builder = TimestampMicrosecondBuilder;
            type View<'a> = &'a TimestampMicrosecondArray;

            fn fields(name: &str) -> Vec<Field> {
                let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                vec![described(Field::new(name, utc, $nullable), $metadata)]
            }

            fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
                columns.push(Arc::new(builder.finish().with_timezone("UTC")));
            }

            fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a> {
                column(batch, name)
            }
        }
    )* };
}

times! {
    /// an instant
    Time: Timestamp, false, |to, time| to.append_value(time.0), &[("standard_name", "time")];
    /// an instant, or null
    OptionalTime: Option<Timestamp>, true, |to, time| to.append_option(time.map(|time| time.0)), &[("standard_name", "time")];
    /// an instant, or the end of a period
    PeriodEnd: Timestamp, false, |to, time| to.append_value(time.0), &[("standard_name", "time"), (crate::TIME_LABEL, "end")];
    /// the time that a forecast is from
    IssueTime: Timestamp, false, |to, time| to.append_value(time.0), &[("standard_name", "forecast_reference_time")];
    /// the time that a forecast is from, or null
    OptionalIssueTime: Option<Timestamp>, true, |to, time| to.append_option(time.map(|time| time.0)), &[("standard_name", "forecast_reference_time")];
}

/// The length of a period, seconds.
pub struct Seconds;

impl Seconds {
    pub fn append(builder: &mut Int64Builder, value: i64) {
        builder.append_value(value);
    }
}

impl Column for Seconds {
    type Value<'a> = i64;
    type Builder = Int64Builder;
    type View<'a> = &'a Int64Array;

    fn fields(name: &str) -> Vec<Field> {
        vec![described(Field::new(name, DataType::Int64, false), &[("unit", "s"), ("standard_name", "time")])]
    }

    fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
        columns.push(Arc::new(builder.finish()));
    }

    fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a> {
        column(batch, name)
    }
}

/// A QARTOD flag.
pub struct FlagCode;

impl FlagCode {
    pub fn append(builder: &mut UInt8Builder, value: Flag) {
        builder.append_value(value as u8);
    }
}

impl Column for FlagCode {
    type Value<'a> = Flag;
    type Builder = UInt8Builder;
    type View<'a> = &'a UInt8Array;

    fn fields(name: &str) -> Vec<Field> {
        let field = Field::new(name, DataType::UInt8, false);
        vec![described(field, &[("standard_name", "aggregate_quality_flag")])]
    }

    fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
        columns.push(Arc::new(builder.finish()));
    }

    fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a> {
        column(batch, name)
    }
}

/// Declares kinds of lists: the value of a row, what it is iterated as, the builder of their items, the Arrow type of an item and whether it may be null, and how an item is appended.
macro_rules! lists {
    ($($(#[$doc:meta])* $kind:ident, $collected:ident: $value:ty, of $item:ty, $builder:ty, $type:expr, $nullable:literal, |$to:ident, $given:ident| $append:expr;)*) => { $(
        $(#[$doc])*
        pub struct $kind;

        /// Lists that are being collected.
        #[derive(Debug)]
        pub struct $collected(ListBuilder<$builder>);

        impl Collects for $collected {
            fn none() -> Self {
                let field = Arc::new(Field::new_list_field($type, $nullable));
                Self(ListBuilder::none().with_field(field))
            }
        }

        impl $kind {
            #[allow(clippy::extra_unused_lifetimes, reason = "numbers borrow nothing")]
            pub fn append<'a>(to: &mut $collected, values: impl IntoIterator<Item = $item>) {
                let $to = to.0.values();
                for $given in values {
                    $append;
                }
                to.0.append(true);
            }
        }

        impl Column for $kind {
            type Value<'a> = $value;
            type Builder = $collected;
            type View<'a> = &'a ListArray;

            fn fields(name: &str) -> Vec<Field> {
                let item = Arc::new(Field::new_list_field($type, $nullable));
                vec![Field::new(name, DataType::List(item), false)]
            }

            fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
                columns.push(Arc::new(builder.0.finish()));
            }

            fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a> {
                column(batch, name)
            }
        }
    )* };
}

lists! {
    /// real numbers
    Float64List, Float64Lists: &'a [f64], of f64, Float64Builder, DataType::Float64, false, |to, value| to.append_value(value);
    /// numbers of things
    UInt64List, UInt64Lists: &'a [u64], of u64, UInt64Builder, DataType::UInt64, false, |to, value| to.append_value(value);
    /// words
    TextList, TextLists: &'a [&'a str], of &'a str, StringBuilder, DataType::Utf8, false, |to, value| to.append_value(value);
    /// the cells of a field, null where they are missing
    CellList, CellLists: &'a [f32], of &'a f32, Float32Builder, DataType::Float32, true, |to, value| to.append_option(value.is_finite().then_some(*value));
}

/// Real numbers of single precision, or null.
pub struct OptionalFloat32List;

/// Such lists that are being collected.
#[derive(Debug)]
pub struct OptionalFloat32Lists(ListBuilder<Float32Builder>);

impl Collects for OptionalFloat32Lists {
    fn none() -> Self {
        let item = Arc::new(Field::new_list_field(DataType::Float32, false));
        Self(ListBuilder::none().with_field(item))
    }
}

impl OptionalFloat32List {
    pub fn append(to: &mut OptionalFloat32Lists, values: Option<&[f32]>) {
        to.0.values().append_slice(values.unwrap_or_default());
        to.0.append(values.is_some());
    }
}

impl Column for OptionalFloat32List {
    type Value<'a> = Option<&'a [f32]>;
    type Builder = OptionalFloat32Lists;
    type View<'a> = &'a ListArray;

    fn fields(name: &str) -> Vec<Field> {
        let item = Arc::new(Field::new_list_field(DataType::Float32, false));
        vec![Field::new(name, DataType::List(item), true)]
    }

    fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
        columns.push(Arc::new(builder.0.finish()));
    }

    fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a> {
        column(batch, name)
    }
}

/// The levels of [`QUANTILE_LEVELS`], a column each, m³ s⁻¹.
pub struct Quantiles;

impl Quantiles {
    pub fn append(builders: &mut [Float64Builder; QUANTILE_LEVELS.len()], values: &[f64; QUANTILE_LEVELS.len()]) {
        builders.iter_mut().zip(values).for_each(|(column, value)| column.append_value(*value));
    }
}

impl Column for Quantiles {
    type Value<'a> = &'a [f64; QUANTILE_LEVELS.len()];
    type Builder = [Float64Builder; QUANTILE_LEVELS.len()];
    type View<'a> = [&'a Float64Array; QUANTILE_LEVELS.len()];

    fn fields(_: &str) -> Vec<Field> {
        let field = |level: &f64| discharge_field(Field::new(quantile_column(*level), DataType::Float64, false));
        QUANTILE_LEVELS.iter().map(field).collect()
    }

    fn finish(builders: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
        columns.extend(builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
    }

    fn view<'a>(batch: &'a RecordBatch, _: &str) -> Self::View<'a> {
        QUANTILE_LEVELS.map(|level| column(batch, &quantile_column(level)))
    }
}

/// The levels of [`TAIL_LEVELS`], a column each, m³ s⁻¹, or null.
pub struct Tails;

impl Tails {
    pub fn append(builders: &mut [Float64Builder; TAIL_LEVELS.len()], values: Option<[f64; TAIL_LEVELS.len()]>) {
        for (level, column) in builders.iter_mut().enumerate() {
            column.append_option(values.map(|values| values[level]));
        }
    }
}

impl Column for Tails {
    type Value<'a> = Option<[f64; TAIL_LEVELS.len()]>;
    type Builder = [Float64Builder; TAIL_LEVELS.len()];
    type View<'a> = [&'a Float64Array; TAIL_LEVELS.len()];

    fn fields(_: &str) -> Vec<Field> {
        let field = |level: &f64| discharge_field(Field::new(quantile_column(*level), DataType::Float64, true));
        TAIL_LEVELS.iter().map(field).collect()
    }

    fn finish(builders: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
        columns.extend(builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
    }

    fn view<'a>(batch: &'a RecordBatch, _: &str) -> Self::View<'a> {
        TAIL_LEVELS.map(|level| column(batch, &quantile_column(level)))
    }
}

/// The levels of [`STAGE_LEVELS`], a column each, m above the gauge's datum; null where the gauge has no rating.
pub struct Stages;

impl Stages {
    pub fn append(builders: &mut [Float64Builder; STAGE_LEVELS.len()], values: Option<[f64; STAGE_LEVELS.len()]>) {
        for (level, column) in builders.iter_mut().enumerate() {
            column.append_option(values.map(|values| values[level]));
        }
    }
}

impl Column for Stages {
    type Value<'a> = Option<[f64; STAGE_LEVELS.len()]>;
    type Builder = [Float64Builder; STAGE_LEVELS.len()];
    type View<'a> = [&'a Float64Array; STAGE_LEVELS.len()];

    fn fields(_: &str) -> Vec<Field> {
        let (unit, name) = (Variable::Stage.unit().name(), Variable::Stage.standard_name());
        let field = |level: &f64| {
            let field = Field::new(stage_column(*level), DataType::Float64, true);
            described(field, &[("unit", unit), ("standard_name", name)])
        };
        STAGE_LEVELS.iter().map(field).collect()
    }

    fn finish(builders: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
        columns.extend(builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
    }

    fn view<'a>(batch: &'a RecordBatch, _: &str) -> Self::View<'a> {
        STAGE_LEVELS.map(|level| column(batch, &stage_column(level)))
    }
}

/// A discharge, m³ s⁻¹.
pub struct Discharge;

impl Discharge {
    pub fn append(builder: &mut Float64Builder, value: f64) {
        builder.append_value(value);
    }
}

impl Column for Discharge {
    type Value<'a> = f64;
    type Builder = Float64Builder;
    type View<'a> = &'a Float64Array;

    fn fields(name: &str) -> Vec<Field> {
        vec![discharge_field(Field::new(name, DataType::Float64, false))]
    }

    fn finish(builder: &mut Self::Builder, columns: &mut Vec<ArrayRef>) {
        columns.push(Arc::new(builder.finish()));
    }

    fn view<'a>(batch: &'a RecordBatch, name: &str) -> Self::View<'a> {
        column(batch, name)
    }
}

fn discharge_field(field: Field) -> Field {
    let (unit, name) = (Variable::Discharge.unit().name(), Variable::Discharge.standard_name());
    described(field, &[("unit", unit), ("standard_name", name)])
}
