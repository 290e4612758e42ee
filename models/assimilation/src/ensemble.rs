//! Checked views over the contiguous ensemble `state[S, C, M]`.

use std::ops::Range;

use crate::error::{AssimilationError, require_length};

/// Extents of `state[S, C, M]`, row-major with the member fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnsembleShape {
    /// Rows S: model stores and augmented rows.
    pub states: usize,
    /// Catchments C of the partition.
    pub catchments: usize,
    /// Members M, at least two.
    pub members: usize,
}

impl EnsembleShape {
    /// Number of values S * C * M.
    ///
    /// # Errors
    /// [`AssimilationError::Shape`] where an extent is zero, M is below two, or the product overflows.
    pub fn value_count(&self) -> Result<usize, AssimilationError> {
        let &Self { states, catchments, members } = self;
        states
            .checked_mul(catchments)
            .and_then(|rows| rows.checked_mul(members))
            .filter(|&count| count > 0 && members >= 2)
            .ok_or(AssimilationError::Shape { states, catchments, members })
    }

    fn check(&self, value_count: usize) -> Result<(), AssimilationError> {
        require_length("ensemble", value_count, self.value_count()?)
    }

    pub(crate) fn check_state(&self, state: usize) -> Result<(), AssimilationError> {
        check_index("state", state, self.states)
    }

    pub(crate) fn check_catchment(&self, catchment: usize) -> Result<(), AssimilationError> {
        check_index("catchment", catchment, self.catchments)
    }

    fn row_range(&self, state: usize) -> Result<Range<usize>, AssimilationError> {
        self.check_state(state)?;
        let width = self.catchments * self.members;
        Ok(state * width..(state + 1) * width)
    }

    fn member_range(&self, state: usize, catchment: usize) -> Result<Range<usize>, AssimilationError> {
        self.check_state(state)?;
        self.check_catchment(catchment)?;
        let start = (state * self.catchments + catchment) * self.members;
        Ok(start..start + self.members)
    }
}

fn check_index(what: &'static str, index: usize, count: usize) -> Result<(), AssimilationError> {
    if index < count { Ok(()) } else { Err(AssimilationError::Index { what, index, last: count.saturating_sub(1) }) }
}

/// A borrowed ensemble `[S, C, M]`, to read.
#[derive(Debug, Clone, Copy)]
pub struct Ensemble<'a> {
    values: &'a [f32],
    shape: EnsembleShape,
}

impl<'a> Ensemble<'a> {
    /// Views `values` as `[S, C, M]`.
    ///
    /// # Errors
    /// [`AssimilationError::Shape`] for an unusable shape, [`AssimilationError::Length`] where the slice does not fit
    /// it.
    pub fn new(values: &'a [f32], shape: EnsembleShape) -> Result<Self, AssimilationError> {
        shape.check(values.len())?;
        Ok(Self { values, shape })
    }

    /// The extents.
    #[must_use]
    pub fn shape(&self) -> EnsembleShape {
        self.shape
    }

    /// The row `[C, M]` of one state.
    ///
    /// # Errors
    /// [`AssimilationError::Index`] where the state does not exist.
    pub fn row(&self, state: usize) -> Result<&'a [f32], AssimilationError> {
        Ok(&self.values[self.shape.row_range(state)?])
    }

    /// The members `[M]` of one state of one catchment.
    ///
    /// # Errors
    /// [`AssimilationError::Index`] where the state or the catchment does not exist.
    pub fn members(&self, state: usize, catchment: usize) -> Result<&'a [f32], AssimilationError> {
        Ok(&self.values[self.shape.member_range(state, catchment)?])
    }
}

/// A borrowed ensemble `[S, C, M]`, to read and change.
#[derive(Debug)]
pub struct EnsembleMut<'a> {
    values: &'a mut [f32],
    shape: EnsembleShape,
}

impl<'a> EnsembleMut<'a> {
    /// Views `values` as `[S, C, M]`.
    ///
    /// # Errors
    /// [`AssimilationError::Shape`] for an unusable shape, [`AssimilationError::Length`] where the slice does not fit
    /// it.
    pub fn new(values: &'a mut [f32], shape: EnsembleShape) -> Result<Self, AssimilationError> {
        shape.check(values.len())?;
        Ok(Self { values, shape })
    }

    /// The extents.
    #[must_use]
    pub fn shape(&self) -> EnsembleShape {
        self.shape
    }

    /// The same ensemble, to read.
    #[must_use]
    pub fn as_ref(&self) -> Ensemble<'_> {
        Ensemble { values: self.values, shape: self.shape }
    }

    /// The row `[C, M]` of one state.
    ///
    /// # Errors
    /// [`AssimilationError::Index`] where the state does not exist.
    pub fn row_mut(&mut self, state: usize) -> Result<&mut [f32], AssimilationError> {
        Ok(&mut self.values[self.shape.row_range(state)?])
    }

    /// The members `[M]` of one state of one catchment.
    ///
    /// # Errors
    /// [`AssimilationError::Index`] where the state or the catchment does not exist.
    pub fn members_mut(&mut self, state: usize, catchment: usize) -> Result<&mut [f32], AssimilationError> {
        Ok(&mut self.values[self.shape.member_range(state, catchment)?])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    const SHAPE: EnsembleShape = EnsembleShape { states: 2, catchments: 3, members: 4 };

    #[test]
    fn the_member_is_the_fastest_index() {
        let values: Vec<f32> = (0_u8..24).map(f32::from).collect();
        let ensemble = Ensemble::new(&values, SHAPE).unwrap();
        assert_eq!(ensemble.members(1, 2).unwrap(), [20.0, 21.0, 22.0, 23.0]);
        assert_eq!(ensemble.row(1).unwrap().len(), 12);
        assert_eq!(ensemble.row(1).unwrap()[0].to_bits(), 12.0_f32.to_bits());
    }

    #[test]
    fn wrong_lengths_shapes_and_indices_are_refused() {
        let mut values = [0.0; 23];
        let refused = EnsembleMut::new(&mut values, SHAPE).unwrap_err();
        assert_eq!(refused.to_string(), "ensemble has 23 values; expected 24");
        for shape in [
            EnsembleShape { members: 1, ..SHAPE },
            EnsembleShape { states: 0, ..SHAPE },
            EnsembleShape { catchments: usize::MAX, ..SHAPE },
        ] {
            assert!(matches!(shape.value_count(), Err(AssimilationError::Shape { .. })));
        }
        let values = [0.0; 24];
        let ensemble = Ensemble::new(&values, SHAPE).unwrap();
        assert_eq!(ensemble.members(2, 0).unwrap_err().to_string(), "state 2 does not exist; accepted: 0 to 1");
        assert_eq!(ensemble.members(0, 3).unwrap_err().to_string(), "catchment 3 does not exist; accepted: 0 to 2");
    }
}
