//! Partitioning of a pipeline: which catchments one partition of the log has.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{Catchment, Pipeline};

/// The partitions that have catchments, each with a pipeline of these alone.
#[derive(Debug, Clone)]
pub struct Partitioning {
    parts: BTreeMap<u32, Arc<Pipeline>>,
    of_catchment: HashMap<String, u32>,
    of_station: HashMap<String, u32>,
}

impl Partitioning {
    /// Partitioning a pipeline by its river networks: what drains to one outlet, and what shares a station or its name, stays together. A network's partition is
    /// the CRC-32 of its outlet's name modulo `log.partitions`, which is what Kafka clients call the consistent partitioner: a network that
    /// comes or goes moves no other.
    ///
    /// # Panics
    /// Never: a valid pipeline has a catchment.
    #[must_use]
    pub fn new(pipeline: &Pipeline) -> Self {
        let mut catchments: BTreeMap<u32, Vec<Catchment>> = BTreeMap::new();
        let (mut of_catchment, mut of_station) = (HashMap::new(), HashMap::new());
        for (catchment, network) in pipeline.catchments.iter().zip(networks(&pipeline.catchments)) {
            let number = crc32fast::hash(network.as_bytes()) % pipeline.log.partitions;
            of_catchment.insert(catchment.id.clone(), number);
            of_station.insert(catchment.station().to_owned(), number);
            catchments.entry(number).or_default().push(catchment.clone());
        }
        let whole = Pipeline { catchments: Vec::new(), ..pipeline.clone() };
        let part = |catchments| Arc::new(Pipeline { catchments, ..whole.clone() });
        Self { parts: catchments.into_iter().map(|(n, of)| (n, part(of))).collect(), of_catchment, of_station }
    }

    /// The partitions that have catchments, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<'_> {
        self.parts.keys().copied()
    }

    /// The pipeline of one partition; none where it has no catchments.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<&Arc<Pipeline>> {
        self.parts.get(&number)
    }

    /// Where what belongs to no catchment goes.
    #[must_use]
    pub fn first(&self) -> u32 {
        self.parts.keys().next().copied().unwrap_or(0)
    }

    /// The partition of a catchment's rows.
    #[must_use]
    pub fn of_catchment(&self, id: &str) -> u32 {
        self.of_catchment.get(id).copied().unwrap_or_else(|| self.first())
    }

    /// The partition of a station's rows, or of a catchment's whose name they come by.
    #[must_use]
    pub fn of_station(&self, name: &str) -> u32 {
        self.of_station.get(name).copied().unwrap_or_else(|| self.of_catchment(name))
    }
}

/// Of each catchment the network that it belongs to, by the name of its outlet; of several outlets the first in the alphabet.
fn networks(catchments: &[Catchment]) -> Vec<&str> {
    let place: HashMap<&str, usize> = catchments.iter().enumerate().map(|(at, c)| (c.id.as_str(), at)).collect();
    let mut parent: Vec<usize> = (0..catchments.len()).collect();
    let mut of_name: HashMap<&str, usize> = HashMap::new();
    for (at, catchment) in catchments.iter().enumerate() {
        let below = catchment.downstream.as_ref().and_then(|next| place.get(next.id.as_str()).copied());
        // Rows come by the name of a station or of a catchment, and a row does not say which.
        let beside = [catchment.station(), &catchment.id].map(|name| *of_name.entry(name).or_insert(at));
        for other in below.into_iter().chain(beside) {
            let (one, other) = (root(&mut parent, at), root(&mut parent, other));
            parent[one] = other;
        }
    }
    let mut outlets: HashMap<usize, &str> = HashMap::new();
    for (at, catchment) in catchments.iter().enumerate() {
        let ends = catchment.downstream.as_ref().is_none_or(|next| !place.contains_key(next.id.as_str()));
        if ends {
            let outlet = outlets.entry(root(&mut parent, at)).or_insert(&catchment.id);
            *outlet = (*outlet).min(&catchment.id);
        }
    }
    // A river that ends nowhere is refused before; it would be named by its catchments.
    let named = |at: usize, parent: &mut Vec<usize>| outlets.get(&root(parent, at)).copied();
    (0..catchments.len()).map(|at| named(at, &mut parent).unwrap_or(&catchments[at].id)).collect()
}

/// Whom a catchment's set is known by, with the way there shortened.
fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Downstream;

    fn catchment(id: &str, downstream: Option<&str>, station: Option<&str>) -> Catchment {
        Catchment {
            id: id.to_owned(),
            station: station.map(str::to_owned),
            formerly: Vec::new(),
            parameters: None,
            area_km2: 1.0,
            outlet_x_m: None,
            outlet_y_m: None,
            attributes: BTreeMap::new(),
            downstream: downstream.map(|id| Downstream { id: id.to_owned(), river_km: 1.0 }),
            name: None,
            river: None,
            latitude: None,
            longitude: None,
            timezone: None,
            datum: None,
            thresholds: Vec::new(),
        }
    }

    #[test]
    fn what_drains_to_one_outlet_or_shares_a_station_stays_together() {
        let mut all = vec![
            catchment("upper", Some("middle"), None),
            catchment("alone", None, None),
            catchment("middle", Some("mouth"), None),
            catchment("mouth", None, None),
            catchment("side", Some("mouth"), None),
            catchment("nested", None, Some("alone")),
            catchment("elsewhere", Some("absent"), None),
            catchment("beside", None, Some("elsewhere")),
        ];
        let expected = ["mouth", "alone", "mouth", "mouth", "mouth", "alone", "beside", "beside"];
        assert_eq!(networks(&all), expected);
        all.push(catchment("another", Some("upper"), None));
        assert_eq!(networks(&all)[..8], expected, "one that comes changes no other's name");
        all.reverse();
        assert_eq!(networks(&all)[1..].iter().rev().copied().collect::<Vec<_>>(), expected);
    }
}
