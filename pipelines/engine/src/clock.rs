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
                let next = last.map_or_else(|| now().ceil_s(every_s), |l| l.plus_s(every_s));
                until(next, every_s, now).await;
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

/// Between two looks at the wall clock, which may be set while nobody looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits until a tick is due by a clock that may step. One that was set back is waited for, and said: a tick is never repeated.
async fn until(tick: Timestamp, every_s: i64, now: impl Fn() -> Timestamp) {
    let mut said = false;
    loop {
        let wait_us = tick.0.saturating_sub(now().0);
        let Some(wait) = u64::try_from(wait_us).ok().filter(|wait| *wait > 0).map(Duration::from_micros) else {
            return;
        };
        if wait_us > 2 * every_s.saturating_mul(1_000_000) && !said {
            tracing::warn!(%tick, wait_s = wait.as_secs(), "the wall clock was set back; nothing is taken until it has caught up");
            said = true;
        }
        tokio::time::sleep(wait.min(LOOK_EVERY)).await;
    }
}

pub(crate) fn now() -> Timestamp {
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

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_steps_repeats_no_tick_and_sleeps_over_none() {
        let begin = tokio::time::Instant::now();
        let passed = || i64::try_from(begin.elapsed().as_secs()).unwrap();
        // Set back by an hour after 10 s, and right again a minute later.
        let stepping = || {
            let off_s = if (10..70).contains(&passed()) { 3_600 } else { 0 };
            Timestamp(0).plus_s(100_000 + passed() - off_s)
        };
        until(Timestamp(0).plus_s(100_030), 60, stepping).await;
        assert_eq!(passed(), 70, "not an hour later, and not before the clock is right");
        // Set forward: what was due meanwhile is due at once.
        until(Timestamp(0).plus_s(100_000), 60, stepping).await;
        assert_eq!(passed(), 70);
    }

    #[tokio::test]
    async fn the_wall_clock_catches_up_without_skipping() {
        let clock = Clock::Wall { every_s: 60 };
        let long_ago = now().ceil_s(60).plus_s(-3600);
        assert_eq!(clock.tick(Some(long_ago)).await, Some(long_ago.plus_s(60)));
    }
}
