//! How far along a river an observation reaches.

use std::collections::HashMap;

use crate::error::{AssimilationError, require};

/// The taper of Gaspari & Cohn (1999, Q. J. R. Meteorol. Soc. 125, 723, eq. 4.10): 1 at distance 0, 5/24 at one
/// half-width c, exactly 0 from two half-widths on. `distance` is |z| / c; a NaN tapers to 0.
#[must_use]
pub fn gaspari_cohn(distance: f64) -> f64 {
    let r = distance.abs();
    if r <= 1.0 {
        (((-0.25 * r + 0.5) * r + 0.625) * r - 5.0 / 3.0) * r * r + 1.0
    } else if r < 2.0 {
        let outer = ((((r / 12.0 - 0.5) * r + 0.625) * r + 5.0 / 3.0) * r - 5.0) * r + 4.0 - 2.0 / (3.0 * r);
        outer.max(0.0) // rounding, where it ends
    } else {
        0.0
    }
}

/// A catchment and where its river goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RiverReach<'a> {
    /// Name of the catchment.
    pub catchment: &'a str,
    /// The catchment that its outlet drains into; none at the end of the river.
    pub downstream: Option<&'a str>,
    /// River length from its outlet to the downstream catchment's outlet, m, finite and at least 0; not used without
    /// one.
    pub length_m: f64,
}

/// How much the observation of a gauge counts in a catchment upstream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Influence {
    /// The catchment, by its place in the list of reaches.
    pub catchment: usize,
    /// The taper, above 0 and at most 1.
    pub taper: f64,
}

impl Influence {
    /// The error variance of the gauge's observation in this catchment: divided by the taper (R-localisation, Hunt et
    /// al. 2007, Physica D 230, 112), which multiplies the whitened predictions and innovation by the
    /// root of the taper.
    #[must_use]
    pub fn error_variance(&self, at_gauge: f64) -> f64 {
        at_gauge / self.taper
    }
}

/// The river network as distances between the outlets of catchments, along the river.
///
/// A gauge knows something about the catchments whose water passes it. Each of them takes the gauge's observation as
/// one of its own, with the same predictions and a larger error variance:
///
/// ```
/// use nilometer_assimilation::{
///     AnalysisReport, Bounds, CatchmentObservation, EnsembleMut, EnsembleShape, Filter, FilterOptions, Purpose,
///     RiverDistances, RiverReach, UpdatableRow, stream,
/// };
///
/// # fn main() -> Result<(), nilometer_assimilation::AssimilationError> {
/// let river = RiverDistances::new(&[
///     RiverReach { catchment: "spring", downstream: Some("town"), length_m: 40_000.0 },
///     RiverReach { catchment: "hill", downstream: Some("town"), length_m: 10_000.0 },
///     RiverReach { catchment: "town", downstream: None, length_m: 0.0 },
/// ])?;
/// // One store (mm) of three catchments, four members. Only the town has a gauge, and it depends on all three.
/// let mut stores_mm = [9.0_f32, 10.0, 11.0, 12.0, 9.0, 10.0, 11.0, 12.0, 9.0, 10.0, 11.0, 12.0];
/// let (predicted, observed, error_variance) = ([1.0, 1.2, 1.4, 1.6], [1.7], 0.04);
///
/// let influences: Vec<_> = river.influences(2, 25_000.0)?.collect();
/// let variances: Vec<_> = influences.iter().map(|i| [i.error_variance(error_variance)]).collect();
/// let rows = [UpdatableRow { state: 0, bounds: Bounds::NON_NEGATIVE }];
/// let batch: Vec<_> = influences
///     .iter()
///     .zip(&variances)
///     .map(|(influence, error_variance)| CatchmentObservation {
///         catchment: influence.catchment,
///         predicted: &predicted,
///         observed: &observed,
///         inflation: 1.0,
///         error_variance,
///         rows: &rows,
///     })
///     .collect();
/// let shape = EnsembleShape { states: 1, catchments: 3, members: 4 };
/// let mut report = AnalysisReport::default();
/// Filter::new(FilterOptions::default())?.assimilate(
///     &mut EnsembleMut::new(&mut stores_mm, shape)?,
///     &batch,
///     &mut stream(42, Purpose::ObservationPerturbation, 0),
///     &mut report,
/// )?;
///
/// let [spring, hill, town] = [0, 1, 2].map(|i| report.increments[i].mean_increment);
/// assert!(0.0 < spring && spring < hill && hill < town);
/// # Ok(())
/// # }
/// ```
///
/// A catchment with observations of several gauges stacks them in its one entry.
#[derive(Debug, Clone, PartialEq)]
pub struct RiverDistances {
    /// Of each catchment: the next one downstream, and the distance to it in m.
    downstream: Vec<Option<(usize, f64)>>,
}

impl RiverDistances {
    /// The network of `reaches` `[C]`, in the order of the ensemble's catchments.
    ///
    /// # Errors
    /// [`AssimilationError::Duplicate`], [`AssimilationError::Downstream`] or [`AssimilationError::Cycle`], each with
    /// the names, where a catchment is listed twice, drains to one that is not listed, or drains into itself;
    /// [`AssimilationError::Element`] where a length is negative or not finite.
    pub fn new(reaches: &[RiverReach<'_>]) -> Result<Self, AssimilationError> {
        let mut places = HashMap::with_capacity(reaches.len());
        for (place, reach) in reaches.iter().enumerate() {
            if places.insert(reach.catchment, place).is_some() {
                return Err(AssimilationError::Duplicate { what: "catchment", name: reach.catchment.to_owned() });
            }
        }
        let mut downstream = Vec::with_capacity(reaches.len());
        for (index, reach) in reaches.iter().enumerate() {
            let Some(name) = reach.downstream else {
                downstream.push(None);
                continue;
            };
            let Some(&place) = places.get(name) else {
                let (catchment, downstream) = (reach.catchment.to_owned(), name.to_owned());
                return Err(AssimilationError::Downstream { catchment, downstream });
            };
            let (what, value, accepted) = ("river length in m", reach.length_m, "finite and at least 0");
            if !(value >= 0.0 && value.is_finite()) {
                return Err(AssimilationError::Element { what, index, value, accepted });
            }
            downstream.push(Some((place, reach.length_m)));
        }
        let river = Self { downstream };
        match river.cycle() {
            None => Ok(river),
            Some(places) => {
                let names: Vec<_> = places.into_iter().map(|place| reaches[place].catchment).collect();
                Err(AssimilationError::Cycle { path: names.join(" -> ") })
            }
        }
    }

    /// Distance in m along the river from the outlet of a catchment down to that of a gauge's; none where the river does
    /// not lead there, or where a catchment does not exist.
    #[must_use]
    pub fn distance_m(&self, catchment: usize, gauge: usize) -> Option<f64> {
        self.path(catchment).find(|(place, _)| *place == gauge).map(|(_, distance_m)| distance_m)
    }

    /// The catchments that the observation of a gauge's catchment reaches, ascending, with their tapers for a half-width
    /// in m: itself with taper 1, and those upstream nearer than two half-widths. Cost: O(C x depth of the network).
    ///
    /// # Errors
    /// [`AssimilationError::Index`] where the catchment does not exist, [`AssimilationError::Value`] where the
    /// half-width is not positive or not finite.
    pub fn influences(
        &self,
        gauge: usize,
        half_width_m: f64,
    ) -> Result<impl Iterator<Item = Influence>, AssimilationError> {
        require("localisation half-width in m", half_width_m, "finite and positive", |v| v > 0.0 && v.is_finite())?;
        if gauge >= self.downstream.len() {
            let last = self.downstream.len().saturating_sub(1);
            return Err(AssimilationError::Index { what: "catchment", index: gauge, last });
        }
        Ok((0..self.downstream.len()).filter_map(move |catchment| {
            let taper = gaspari_cohn(self.distance_m(catchment, gauge)? / half_width_m);
            (taper > 0.0).then_some(Influence { catchment, taper })
        }))
    }

    /// A catchment and all downstream of it, each with its distance in m.
    fn path(&self, catchment: usize) -> impl Iterator<Item = (usize, f64)> {
        let first = (catchment < self.downstream.len()).then_some((catchment, 0.0));
        std::iter::successors(first, |(place, distance_m)| {
            self.downstream[*place].map(|(next, length_m)| (next, distance_m + length_m))
        })
    }

    /// The places of a circle, its first one repeated at the end.
    fn cycle(&self) -> Option<Vec<usize>> {
        let catchments = self.downstream.len();
        // After as many steps as there are catchments a path either has ended or runs in a circle.
        let (inside, _) = (0..catchments).find_map(|start| self.path(start).nth(catchments))?;
        let around = self.path(inside).skip(1).map(|(place, _)| place);
        let mut places = vec![inside];
        for place in around {
            places.push(place);
            if place == inside {
                break;
            }
        }
        Some(places)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    fn reach<'a>(catchment: &'a str, downstream: Option<&'a str>, length_m: f64) -> RiverReach<'a> {
        RiverReach { catchment, downstream, length_m }
    }

    /// a and b meet at c, which runs to d; e is another river.
    fn reaches() -> [RiverReach<'static>; 5] {
        [
            reach("d", None, f64::NAN),
            reach("a", Some("c"), 3_000.0),
            reach("c", Some("d"), 5_000.0),
            reach("b", Some("c"), 4_000.0),
            reach("e", None, 0.0),
        ]
    }

    #[test]
    fn distances_follow_the_river_downstream_only() {
        let river = RiverDistances::new(&reaches()).unwrap();
        assert_eq!(river.distance_m(1, 0), Some(8_000.0));
        assert_eq!(river.distance_m(3, 2), Some(4_000.0));
        assert_eq!(river.distance_m(2, 2), Some(0.0));
        assert_eq!(river.distance_m(2, 1), None); // a gauge upstream
        assert_eq!(river.distance_m(1, 3), None); // the other branch
        assert_eq!(river.distance_m(4, 0), None); // another river
        assert_eq!(river.distance_m(9, 0), None);
    }

    #[test]
    fn a_gauge_reaches_less_than_two_half_widths_upstream() {
        let river = RiverDistances::new(&reaches()).unwrap();
        let influences: Vec<_> = river.influences(0, 4_500.0).unwrap().collect();
        assert_eq!(influences.iter().map(|i| i.catchment).collect::<Vec<_>>(), [0, 1, 2]); // b is 9 000 m away
        assert_eq!(influences[0].taper, 1.0);
        assert_eq!(influences[1].taper, gaspari_cohn(8_000.0 / 4_500.0));
        assert_eq!(influences[0].error_variance(0.04), 0.04);
        assert!(influences[1].error_variance(0.04) > influences[2].error_variance(0.04));
        assert!(river.influences(5, 1.0).is_err());
        assert!(river.influences(0, 0.0).is_err());
    }

    #[test]
    fn impossible_rivers_are_refused_by_name() {
        let refused = |reaches: &[RiverReach<'_>]| RiverDistances::new(reaches).unwrap_err().to_string();
        let circle = [
            reach("spring", Some("a"), 1.0),
            reach("a", Some("b"), 1.0),
            reach("b", Some("c"), 1.0),
            reach("c", Some("a"), 1.0),
        ];
        let message = refused(&circle);
        assert!(
            ["a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"].iter().any(|path| message.contains(path)),
            "{message}"
        );
        assert!(refused(&[reach("a", Some("a"), 1.0)]).contains("a -> a"));
        assert!(refused(&[reach("a", Some("sea"), 1.0)]).contains("catchment a drains to sea, which is not listed"));
        assert!(refused(&[reach("a", None, 0.0), reach("a", None, 0.0)]).contains("catchment a is listed twice"));
        assert!(refused(&[reach("a", None, 0.0), reach("b", Some("a"), -1.0)]).contains("river length in m [1] is -1"));
        assert!(RiverDistances::new(&[]).unwrap().influences(0, 1.0).is_err());
    }
}
