//! Sources that deliver one quantity of one place: nothing says which of them counts.

use std::collections::{BTreeMap, BTreeSet};

use nilometer_assimilation::Ratings;
use nilometer_schemas::Variable;

use crate::{Catchment, SourceDefinition};

/// A source that delivers, or may deliver, what another one does.
pub(crate) struct Overlap<'a> {
    pub(crate) source: &'a str,
    pub(crate) other: &'a str,
    pub(crate) quantity: Variable,
    /// the first place that both have
    pub(crate) place: &'a str,
    /// whether both have it for sure; a table whose stations are in a column may have others
    pub(crate) certain: bool,
    /// whether both are readings of one variable, as a record of the past and a file that grows have them
    alike: bool,
}

impl Overlap<'_> {
    /// Whether it can only be a mistake.
    pub(crate) const fn is_refused(&self) -> bool {
        self.certain && !self.alike
    }
}

/// The first overlap of each source with one before it. Forecasts of the weather take no measurement's place.
pub(crate) fn overlaps<'a>(
    sources: &'a BTreeMap<String, SourceDefinition>,
    catchments: &'a [Catchment],
    ratings: &'a BTreeMap<String, Ratings>,
) -> Vec<Overlap<'a>> {
    let mut delivered: BTreeMap<(Variable, &str), (&str, bool)> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, source) in sources.iter().filter(|(_, source)| !source.is_forecast()) {
        // A stage becomes the discharge of its station.
        let quantity = if source.observes_discharge() { Variable::Discharge } else { source.variable() };
        let (places, certain) = places(source, catchments, ratings);
        let other = |place: &&'a str| Some((*place, *delivered.get(&(quantity, *place))?));
        let of_source = places.iter().filter_map(other).map(|(place, (other, other_certain))| Overlap {
            source: name,
            other,
            quantity,
            place,
            certain: certain && other_certain,
            alike: !quantity.is_forcing() && sources.get(other).is_some_and(|o| o.variable() == source.variable()),
        });
        found.extend(of_source.max_by_key(|overlap| overlap.certain));
        for place in places {
            delivered.entry((quantity, place)).or_insert((name, certain));
        }
    }
    found
}

/// Where a source may measure, and whether it does so at all of these places.
fn places<'a>(
    source: &'a SourceDefinition,
    catchments: &'a [Catchment],
    ratings: &'a BTreeMap<String, Ratings>,
) -> (BTreeSet<&'a str>, bool) {
    if let Some(station) = source.station() {
        return ([station].into(), true);
    }
    let of_catchments = source.variable().is_forcing() || source.connector.delivers_fields();
    let places: BTreeSet<&str> = match source.variable() {
        Variable::Stage => ratings.keys().map(String::as_str).collect(),
        _ if of_catchments => catchments.iter().map(|catchment| catchment.id.as_str()).collect(),
        _ => catchments.iter().map(Catchment::station).collect(),
    };
    let certain = source.connector.has_every_station() || places.len() == 1;
    (places, certain)
}
