//! River: catchments whose waters meet. What a gauge reads is news of those above it too, the less the farther away they are, and the
//! errors of neighbours have a part in common.

use nilometer_assimilation::{AssimilationError, Influence, RiverDistances, RiverReach};
use nilometer_definitions::Pipeline;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const M_PER_KM: f64 = 1_000.0;

/// The rivers of a pipeline.
pub(crate) struct River {
    correlation: f64,
    /// of each catchment the last one on its river
    mouth: Vec<usize>,
    /// of each gauge the catchments that it informs, itself among them
    informs: Vec<Vec<Influence>>,
}

impl River {
    /// Of a checked definition; none where it does not ask for one.
    pub(crate) fn new(pipeline: &Pipeline) -> Result<Option<Self>, AssimilationError> {
        let Some(options) = pipeline.assimilation.river else { return Ok(None) };
        let reaches = pipeline.catchments.iter().map(|catchment| RiverReach {
            catchment: &catchment.id,
            downstream: catchment.downstream.as_ref().map(|next| next.id.as_str()),
            length_m: catchment.downstream.as_ref().map_or(0.0, |next| next.river_km * M_PER_KM),
        });
        let distances = RiverDistances::new(&reaches.collect::<Vec<_>>())?;
        let count = pipeline.catchments.len();
        let mouth = (0..count).map(|catchment| {
            let below = (0..count).filter_map(|other| Some((other, distances.distance_m(catchment, other)?)));
            below.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(catchment, |(last, _)| last)
        });
        let half_width_m = options.half_width_km * M_PER_KM;
        let informs = (0..count).map(|gauge| Ok(distances.influences(gauge, half_width_m)?.collect()));
        Ok(Some(Self {
            correlation: options.correlation,
            mouth: mouth.collect(),
            informs: informs.collect::<Result<_, AssimilationError>>()?,
        }))
    }

    /// The catchments that a gauge informs, itself among them.
    pub(crate) fn informed_by(&self, gauge: usize) -> &[Influence] {
        &self.informs[gauge]
    }

    /// Gives the `noise` `[C, M]` of catchments on one river a part in common, that which its mouth draws; each number stays standard normal.
    pub(crate) fn correlate(&self, noise: &mut [f64], streams: &mut [ChaCha8Rng]) {
        let members = noise.len() / self.mouth.len();
        let draw = |stream: &mut ChaCha8Rng| StandardNormal.sample_iter(stream).take(members).collect::<Vec<f64>>();
        let common: Vec<f64> = streams.iter_mut().flat_map(draw).collect();
        let (shared, own) = (self.correlation.sqrt(), (1.0 - self.correlation).sqrt());
        for (of_members, mouth) in noise.chunks_exact_mut(members).zip(&self.mouth) {
            for (value, common) in of_members.iter_mut().zip(&common[mouth * members..]) {
                *value = own * *value + shared * common;
            }
        }
    }
}
