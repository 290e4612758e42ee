//! Ticks: the wall clock in operations, a virtual one in replay. Roles see only ticks, so both run the same code.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nilometer_schemas::Timestamp;

/// Where ticks come from. A tick is a whole multiple of `every_s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clock {
    /// real time
    Wall {
        /// seconds between ticks
        every_s: i64,
    },
    /// history, as fast as the machine or at `speed` times real time
    Replay {
        /// first tick
        from: Timestamp,
        /// last tick
        to: Timestamp,
        /// seconds between ticks
        every_s: i64,
        /// event seconds a real second; `None` is as fast as possible
        speed: Option<f64>,
    },
}

impl Clock {
    /// The tick that follows `last` (`None` before the first), waiting until it is due; `None` when history has ended.
    pub async fn tick(&self, last: Option<Timestamp>) -> Option<Timestamp> {
        match *self {
            Self::Wall { every_s } => {
                let now = now();
                let next = last.map_or_else(|| now.ceil_s(every_s), |l| l.plus_s(every_s));
                let wait = u64::try_from(next.0.saturating_sub(now.0)).unwrap_or(0);
                tokio::time::sleep(Duration::from_micros(wait)).await;
                Some(next)
            }
            Self::Replay { from, to, every_s, speed } => {
                let next = last.map_or_else(|| from.ceil_s(every_s), |l| l.plus_s(every_s));
                if next > to {
                    return None;
                }
                if let (Some(speed), Some(_)) = (speed, last) {
                    tokio::time::sleep(Duration::from_secs_f64(every_s as f64 / speed.max(1e-6))).await;
                }
                Some(next)
            }
        }
    }

    /// Seconds between ticks.
    #[must_use]
    pub const fn every_s(&self) -> i64 {
        match self {
            Self::Wall { every_s } | Self::Replay { every_s, .. } => *every_s,
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replay_gives_every_step_once_and_ends() {
        let hour = Timestamp(0).plus_s(3600);
        let clock = Clock::Replay { from: Timestamp(1), to: hour.plus_s(3600), every_s: 3600, speed: None };
        let mut ticks = Vec::new();
        let mut last = None;
        while let Some(tick) = clock.tick(last).await {
            ticks.push(tick);
            last = Some(tick);
        }
        assert_eq!(ticks, [hour, hour.plus_s(3600)]);
    }

    #[tokio::test]
    async fn the_wall_clock_catches_up_without_skipping() {
        let clock = Clock::Wall { every_s: 60 };
        let long_ago = now().ceil_s(60).plus_s(-3600);
        assert_eq!(clock.tick(Some(long_ago)).await, Some(long_ago.plus_s(60)));
    }
}
