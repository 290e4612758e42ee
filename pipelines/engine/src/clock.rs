//! Ticks: the wall clock in operations, a virtual one in replay. Roles see only ticks, so both run the same code.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nilometer_schemas::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What becomes of the ticks that were missed while nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// each is made as it would have been
    #[default]
    All,
    /// only the newest is made, with everything that has come; the others are named as not made
    Latest,
}

/// An exercise: operations at another time and pace, so that a flood of the past comes again as it came, to processes that run as they always do.
/// Those that share a log share its clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    /// when the exercise begins, by the system
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// what time it is then
    #[schemars(with = "String")]
    pub shows: Timestamp,
    /// how many times as fast its time passes, more than 0
    pub speed: f64,
}

impl Exercise {
    /// What time it is when the system's clock shows `system`.
    fn time(&self, system: Timestamp) -> Timestamp {
        Timestamp(self.shows.0.saturating_add((system.0.saturating_sub(self.at.0) as f64 * self.speed) as i64))
    }
}

/// What time it is in operations.
#[derive(Debug, Clone)]
pub enum WallTime {
    /// by the system
    System,
    /// by the clock of an exercise
    Exercise(Exercise),
    /// by the holder of the sender; a clock without one stands still
    Virtual(watch::Receiver<Timestamp>),
}

/// Where ticks come from. A tick is a whole multiple of `every_s`.
#[derive(Debug, Clone)]
pub enum Clock {
    /// real time
    Wall {
        /// seconds between ticks
        every_s: i64,
        /// what becomes of missed ticks
        catch_up: CatchUp,
        /// what time it is
        time: WallTime,
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
    /// The wall clock of the system, or that of an exercise.
    #[must_use]
    pub fn wall(every_s: i64, catch_up: CatchUp, exercise: Option<Exercise>) -> Self {
        Self::Wall { every_s, catch_up, time: exercise.map_or(WallTime::System, WallTime::Exercise) }
    }

    /// The tick that follows `last` (`None` before the first), waiting until it is due; `None` when history has ended.
    pub async fn tick(&self, last: Option<Timestamp>) -> Option<Timestamp> {
        match self {
            Self::Wall { every_s, catch_up, time } => {
                let newest = self.newest(time.now());
                let next = match last.map(|last| last.plus_s(*every_s)) {
                    None => newest,
                    Some(next) if *catch_up == CatchUp::Latest => next.max(newest),
                    Some(next) => next,
                };
                time.reach(next, *every_s).await;
                Some(next)
            }
            Self::Replay { from, to, every_s, speed } => {
                let next = last.map_or_else(|| from.ceil_s(*every_s), |l| l.plus_s(*every_s));
                if next > *to {
                    return None;
                }
                if let (Some(speed), Some(_)) = (speed, last) {
                    tokio::time::sleep(Duration::from_secs_f64(*every_s as f64 / speed.max(1e-6))).await;
                }
                Some(next)
            }
        }
    }

    /// When a look for `tick` takes place, and whether a later tick is due by then. A replay knows nothing of the time behind its tick.
    #[must_use]
    pub fn look(&self, tick: Timestamp) -> (Timestamp, bool) {
        match self {
            Self::Wall { time, .. } => {
                let now = time.now().max(tick);
                (now, self.newest(now) > tick)
            }
            Self::Replay { .. } => (tick, false),
        }
    }

    /// The newest tick that is due.
    fn newest(&self, now: Timestamp) -> Timestamp {
        now.floor_s(self.every_s())
    }

    /// Seconds between ticks.
    #[must_use]
    pub const fn every_s(&self) -> i64 {
        match self {
            Self::Wall { every_s, .. } | Self::Replay { every_s, .. } => *every_s,
        }
    }
}

impl WallTime {
    fn now(&self) -> Timestamp {
        match self {
            Self::System => now(),
            Self::Exercise(exercise) => exercise.time(now()),
            Self::Virtual(time) => *time.borrow(),
        }
    }

    async fn reach(&self, tick: Timestamp, every_s: i64) {
        match self {
            Self::System => until(tick, every_s, 1.0, now).await,
            Self::Exercise(exercise) => until(tick, every_s, exercise.speed, || exercise.time(now())).await,
            Self::Virtual(time) => {
                if time.clone().wait_for(|now| *now >= tick).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// Between two looks at the wall clock, which may be set in between.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits until a tick is due by a clock that may step and goes `speed` times as fast as real time. One that was set back is waited for, and said: a tick is never repeated.
async fn until(tick: Timestamp, every_s: i64, speed: f64, now: impl Fn() -> Timestamp) {
    let mut said = false;
    loop {
        let wait_us = tick.0.saturating_sub(now().0);
        let Some(wait) = u64::try_from(wait_us).ok().filter(|wait| *wait > 0).map(Duration::from_micros) else {
            return;
        };
        if wait_us > 2 * every_s.saturating_mul(1_000_000) && !said {
            tracing::warn!(%tick, wait_s = wait.as_secs(), "the next tick lies ahead of the wall clock: it was set back, or the store was written up to a later time; nothing is taken until it is due");
            said = true;
        }
        tokio::time::sleep(wait.div_f64(speed.max(1e-6)).min(LOOK_EVERY)).await;
    }
}

/// The time of the wall clock.
#[must_use]
pub fn now() -> Timestamp {
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
        until(Timestamp(0).plus_s(100_030), 60, 1.0, stepping).await;
        assert_eq!(passed(), 70, "not an hour later, and not before the clock is right");
        // Set forward: what was due meanwhile is due at once.
        until(Timestamp(0).plus_s(100_000), 60, 1.0, stepping).await;
        assert_eq!(passed(), 70);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exercise_shows_another_time_and_goes_faster() {
        let exercise = Exercise { at: Timestamp(0).plus_s(1_000), shows: Timestamp(0).plus_s(7_200), speed: 3_600.0 };
        assert_eq!(exercise.time(Timestamp(0).plus_s(1_002)), Timestamp(0).plus_s(7_200 + 2 * 3_600));
        let begin = tokio::time::Instant::now();
        let system = || Timestamp(i64::try_from(begin.elapsed().as_micros()).unwrap()).plus_s(1_000);
        until(Timestamp(0).plus_s(7_200 + 3_600), 3_600, exercise.speed, || exercise.time(system())).await;
        assert_eq!(begin.elapsed().as_secs(), 1, "an hour of it is a second");
    }

    #[tokio::test]
    async fn the_wall_clock_catches_up_without_skipping() {
        let clock = Clock::wall(60, CatchUp::All, None);
        let long_ago = now().ceil_s(60).plus_s(-3600);
        assert_eq!(clock.tick(Some(long_ago)).await, Some(long_ago.plus_s(60)));
    }

    #[tokio::test]
    async fn what_was_missed_is_made_or_passed_over() {
        let hour = |h: i64| Timestamp(0).plus_s(h * 3_600);
        let (_sender, time) = watch::channel(hour(9).plus_s(60));
        let clock = |catch_up| Clock::Wall { every_s: 3_600, catch_up, time: WallTime::Virtual(time.clone()) };
        let all = clock(CatchUp::All);
        assert_eq!(all.tick(None).await, Some(hour(9)), "the newest that is due");
        assert_eq!(all.tick(Some(hour(3))).await, Some(hour(4)));
        assert_eq!(all.look(hour(4)), (hour(9).plus_s(60), true));
        assert_eq!(all.look(hour(9)), (hour(9).plus_s(60), false));
        assert_eq!(clock(CatchUp::Latest).tick(Some(hour(3))).await, Some(hour(9)));
        let (sender, time) = watch::channel(hour(9));
        let clock = Clock::Wall { every_s: 3_600, catch_up: CatchUp::Latest, time: WallTime::Virtual(time) };
        let (next, ()) = tokio::join!(clock.tick(Some(hour(9))), async { sender.send(hour(10)).unwrap() });
        assert_eq!(next, Some(hour(10)));
    }
}
