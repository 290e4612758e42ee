//! Sums with a fixed order: four running sums, so that the compiler may vectorise and equal inputs give equal bits.

const LANES: usize = 4;

/// Sum of `term(x, y)` over the pairs of two slices of one length.
fn sum_of<A: Copy, B: Copy>(xs: &[A], ys: &[B], term: impl Fn(A, B) -> f64) -> f64 {
    let (x_blocks, x_rest) = xs.as_chunks::<LANES>();
    let (y_blocks, y_rest) = ys.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += term(x, y);
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(&x, &y)| term(x, y)).sum();
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

/// Scalar product of two slices of one length.
pub(crate) fn dot(xs: &[f64], ys: &[f64]) -> f64 {
    sum_of(xs, ys, |x, y| x * y)
}

/// Mean of a non-empty slice, in `f64` whatever the storage.
pub(crate) fn mean<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    sum_of(values, values, |value, _| value.into()) / count(values.len())
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "member counts lie far below 2^53")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

/// The nearest finite `f32`: the precision in which stores are kept.
#[expect(clippy::cast_possible_truncation, reason = "rounding to the storage precision is the purpose")]
pub(crate) fn to_storage(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_count() {
        let xs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert!((dot(&xs, &xs) - 91.0).abs() < 1e-12);
        assert!((mean(&xs) - 3.5).abs() < 1e-12);
        assert!((mean(&[2.0_f32]) - 2.0).abs() < 1e-12);
    }
}
