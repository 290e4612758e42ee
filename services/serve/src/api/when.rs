//! When: an instant in answers, as RFC 3339.

use nilometer_schemas::Timestamp;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{SchemaType, Type},
    },
};

/// An instant, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct When(pub(crate) Timestamp);

impl PartialSchema for When {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("an instant, RFC 3339 in UTC"))
            .examples(["2014-11-04T02:00:00Z"])
            .build()
            .into()
    }
}

impl ToSchema for When {}

impl From<Timestamp> for When {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}
