//! Scores of trajectories: how well values at several times go together.

use crate::{
    error::StatisticsError,
    series::{count, require_finite, require_length, require_some},
};

/// Energy score of `trajectories` `[L][M]`, in their unit: the mean distance of a member from `observed` `[L]` less half the mean distance of two
/// members, distances over all L values. With one value it is the CRPS of the ensemble. Source: Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a value or a member, [`StatisticsError::Length`] where lengths differ, [`StatisticsError::NotFinite`] for a
/// NaN or an infinity.
pub fn energy_score(trajectories: &[Vec<f64>], observed: &[f64]) -> Result<f64, StatisticsError> {
    let members = checked(trajectories, observed)?;
    let (mut from_observed, mut apart) = (0.0, 0.0);
    for member in 0..members {
        let square = |(of_lead, observed): (&Vec<f64>, &f64)| (of_lead[member] - observed).powi(2);
        from_observed += trajectories.iter().zip(observed).map(square).sum::<f64>().sqrt();
        for other in 0..member {
            apart += trajectories.iter().map(|of_lead| (of_lead[member] - of_lead[other]).powi(2)).sum::<f64>().sqrt();
        }
    }
    Ok(from_observed / count(members) - apart / count(members).powi(2))
}

/// Variogram score of order ½ of `trajectories` `[L][M]`: the mean over pairs of values of `(|y_i − y_j|^½ − mean |x_i − x_j|^½)²`. It sees whether
/// differences between times are right, which the energy score hardly does. Source: Scheuerer & Hamill 2015, Mon. Weather Rev. 143, 1321.
///
/// # Errors
/// As [`energy_score`]; two values at least.
pub fn variogram_score(trajectories: &[Vec<f64>], observed: &[f64]) -> Result<f64, StatisticsError> {
    let members = checked(trajectories, observed)?;
    require_some("observed", observed, 2)?;
    let (mut sum, mut pairs) = (0.0, 0);
    for (later, of_later) in trajectories.iter().enumerate() {
        for (earlier, of_earlier) in trajectories[..later].iter().enumerate() {
            let apart = |(a, b): (&f64, &f64)| (a - b).abs().sqrt();
            let expected = of_later.iter().zip(of_earlier).map(apart).sum::<f64>() / count(members);
            sum += ((observed[later] - observed[earlier]).abs().sqrt() - expected).powi(2);
            pairs += 1;
        }
    }
    Ok(sum / count(pairs))
}

fn checked(trajectories: &[Vec<f64>], observed: &[f64]) -> Result<usize, StatisticsError> {
    require_some("observed", observed, 1)?;
    require_finite("observed", observed)?;
    require_length("trajectories", trajectories.len(), observed.len())?;
    require_some("members", &trajectories[0], 1)?;
    for of_lead in trajectories {
        require_length("members", of_lead.len(), trajectories[0].len())?;
        require_finite("members", of_lead)?;
    }
    Ok(trajectories[0].len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;
    use crate::{CrpsEstimator, crps_ensemble};

    #[test]
    fn of_one_value_it_is_the_crps_and_of_one_member_a_distance() {
        let members = [0.5, 1.5, 2.0, 0.0, 1.2];
        let crps = crps_ensemble(&members, 1.0, CrpsEstimator::Biased, &mut Vec::new()).unwrap();
        assert!((energy_score(&[members.to_vec()], &[1.0]).unwrap() - crps).abs() < 1e-12);
        assert!((energy_score(&[vec![3.0], vec![4.0]], &[0.0, 0.0]).unwrap() - 5.0).abs() < 1e-12);
        assert!(energy_score(&[vec![1.0]], &[1.0, 2.0]).is_err() && energy_score(&[vec![f64::NAN]], &[1.0]).is_err());
    }

    #[test]
    fn values_that_go_together_score_better_where_the_river_does() {
        let (same, mixed) = (
            [vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 2.0, 3.0, 4.0]],
            [vec![1.0, 2.0, 3.0, 4.0], vec![4.0, 1.0, 2.0, 3.0]],
        );
        for observed in [[1.5, 1.5], [3.5, 3.6]] {
            assert!(energy_score(&same, &observed).unwrap() < energy_score(&mixed, &observed).unwrap());
            assert!(variogram_score(&same, &observed).unwrap() < variogram_score(&mixed, &observed).unwrap());
        }
        // |y| differs by 1; members differ by 0: (1 − 0)².
        assert!((variogram_score(&same, &[2.0, 3.0]).unwrap() - 1.0).abs() < 1e-12);
        assert!(variogram_score(&[vec![1.0]], &[1.0]).is_err());
    }
}
