//! The levels at which a predictive distribution is said, and their normal scores.

/// Levels of a distribution that is calibrated: 0.05, 0.10, … 0.95.
pub const CALIBRATED_LEVELS: usize = 19;

/// Quantiles of the standard normal distribution at these levels.
pub const STANDARD_NORMAL: [f64; CALIBRATED_LEVELS] = {
    const UPPER: [f64; 9] = [
        0.125_661_346_855_074,
        0.253_347_103_135_8,
        0.385_320_466_407_568,
        0.524_400_512_708_041,
        0.674_489_750_196_082,
        0.841_621_233_572_914,
        1.036_433_389_493_79,
        1.281_551_565_544_6,
        1.644_853_626_951_473,
    ];
    let mut all = [0.0; CALIBRATED_LEVELS];
    let mut i = 0;
    while i < UPPER.len() {
        all[UPPER.len() - 1 - i] = -UPPER[i];
        all[UPPER.len() + 1 + i] = UPPER[i];
        i += 1;
    }
    all
};

/// Levels of a distribution beyond those that are calibrated: two below them, two above.
pub const TAIL_LEVELS: [f64; 4] = [0.01, 0.02, 0.98, 0.99];

/// Quantiles of the standard normal distribution at [`TAIL_LEVELS`].
pub const TAIL_NORMAL: [f64; TAIL_LEVELS.len()] =
    [-2.326_347_874_040_841, -2.053_748_910_631_823, 2.053_748_910_631_823, 2.326_347_874_040_841];
