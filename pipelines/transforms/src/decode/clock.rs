//! Local times of a table as instants: the order of the rows tells the hour apart that clocks show twice in autumn.
//!
//! Rows of one series (a station; of a weather forecast an issue time and member too) come in ascending or descending order. Among rows of
//! the doubled hour the one that turns back in time begins its other occurrence. What a row means depends on the rows before it alone, so
//! that a file that grows says the same of them; only where a series begins within the doubled hour is it determined by what follows.

use std::collections::HashMap;

use jiff::{civil::DateTime, tz::TimeZone};
use nilometer_schemas::Timestamp;

use super::time::{BadTime, Occurrences, ReadTime, Written, occurrences};

/// More than any two readings of one doubled hour are apart.
const ONE_CHANGE_US: u64 = 86_400_000_000;

/// The instants of a table's rows so far.
pub(super) struct LocalClock<'a> {
    zone: &'a TimeZone,
    times: Vec<ReadTime>,
    /// by the hash of its names; a zone without a clock change needs none
    series: HashMap<u64, Series>,
}

#[derive(Default)]
struct Series {
    /// the newest row whose instant is certain
    before: Option<Timestamp>,
    /// whether the rows outside the doubled hour have come in ascending order, newest pair
    ascending: Option<bool>,
    /// rows of a doubled hour since then
    run: Option<Run>,
}

/// Rows of one doubled hour.
struct Run {
    /// one of its instants
    change: Timestamp,
    /// newest wall-clock time, and its occurrence where that is known
    wall: DateTime,
    order: Option<Order>,
    /// rows that what follows must tell: place, wall-clock time, both instants
    waiting: Vec<(usize, DateTime, [Timestamp; 2])>,
}

/// Where in the doubled hour a series is.
#[derive(Clone, Copy)]
struct Order {
    ascending: bool,
    /// whether the clocks have been put back since the run began
    turned: bool,
}

impl Order {
    /// What a row means behind one of wall-clock time `last`; none when it turns back a second time.
    fn next(self, last: DateTime, wall: DateTime) -> Option<Self> {
        let goes_on = if self.ascending { wall > last } else { wall < last };
        match (goes_on, self.turned) {
            (true, _) => Some(self),
            (false, false) => Some(Self { turned: true, ..self }),
            (false, true) => None,
        }
    }

    /// What rows mean of which the first has this order; none where they turn back a second time.
    fn along(self, walls: impl Iterator<Item = DateTime>) -> Option<Vec<Self>> {
        let (mut order, mut last) = (self, None);
        let mut follow = |wall| {
            if let Some(last) = last.replace(wall) {
                order = order.next(last, wall)?;
            }
            Some(order)
        };
        walls.map(&mut follow).collect()
    }

    const fn of(self, [first, second]: [Timestamp; 2]) -> Timestamp {
        if self.ascending == self.turned { second } else { first }
    }
}

impl<'a> LocalClock<'a> {
    pub(super) fn new(zone: &'a TimeZone) -> Self {
        Self { zone, times: Vec::new(), series: HashMap::new() }
    }

    /// Takes up the next line. `series` is the hash of what its row is about, asked for where the order matters.
    pub(super) fn push(&mut self, written: Option<Written<'_>>, code: Option<&str>, series: impl FnOnce() -> u64) {
        let place = self.times.len();
        self.times.push(Err(BadTime::Unreadable));
        let wall = match written {
            None => return,
            Some(Written::Local(wall, None)) if code.is_none() && self.zone.to_fixed_offset().is_err() => wall,
            Some(written) => return self.times[place] = written.alone(code, self.zone),
        };
        let series = self.series.entry(series()).or_default();
        self.times[place] = match occurrences(wall, None, self.zone) {
            Err(problem) => Err(problem),
            Ok(Occurrences::Once(time)) => {
                series.is_certain(time, &mut self.times);
                Ok(time)
            }
            Ok(Occurrences::Twice(first, second)) => {
                if series.run.as_ref().is_some_and(|run| run.change.0.abs_diff(first.0) > ONE_CHANGE_US) {
                    series.is_certain(first, &mut self.times);
                }
                series.is_doubled(place, wall, [first, second])
            }
        };
    }

    pub(super) fn finish(self) -> Vec<ReadTime> {
        self.times
    }
}

impl Series {
    /// A row outside the doubled hour tells in which order those before it come, if nothing before them did.
    fn is_certain(&mut self, time: Timestamp, times: &mut [ReadTime]) {
        let ascending = self.before.filter(|before| *before != time).map(|before| before < time);
        (self.before, self.ascending) = (Some(time), ascending.or(self.ascending));
        let Some(Run { waiting, .. }) = self.run.take() else { return };
        let Some((_, _, [first, _])) = waiting.first() else { return };
        let walls = || waiting.iter().map(|(_, wall, _)| *wall);
        let begin = Order { ascending: time > *first, turned: false };
        let orders = match begin.along(walls()) {
            // Rows that never turn back lie in the occurrence beside what follows.
            Some(orders) if orders.iter().all(|order| !order.turned) => Order { turned: true, ..begin }.along(walls()),
            orders => orders,
        };
        for ((place, _, both), order) in waiting.iter().zip(orders.unwrap_or_default()) {
            times[*place] = Ok(order.of(*both));
        }
    }

    /// A row of the doubled hour.
    fn is_doubled(&mut self, place: usize, wall: DateTime, both: [Timestamp; 2]) -> ReadTime {
        let Some(run) = &mut self.run else {
            let order = self.before.map(|before| Order { ascending: before < both[0], turned: false });
            if order.zip(self.ascending).is_some_and(|(order, known)| order.ascending != known) {
                return Err(BadTime::Repeated);
            }
            let waiting = if order.is_none() { vec![(place, wall, both)] } else { Vec::new() };
            self.run = Some(Run { change: both[0], wall, order, waiting });
            return order.map(|order| order.of(both)).ok_or(BadTime::Repeated);
        };
        let Some(order) = run.order else {
            run.waiting.push((place, wall, both));
            return Err(BadTime::Repeated);
        };
        let next = order.next(run.wall, wall).ok_or(BadTime::Repeated)?;
        (run.order, run.wall) = (Some(next), wall);
        Ok(next.of(both))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours and minutes of 2014-11-02 in New York as UTC hours and minutes of that day; `x` where they cannot be determined.
    fn read(rows: &str) -> String {
        let zone = TimeZone::get("America/New_York").unwrap();
        let mut clock = LocalClock::new(&zone);
        for row in rows.split_whitespace() {
            let (series, wall) = row.split_once('/').unwrap_or(("", row));
            let (hour, minute) = wall.split_once(':').unwrap();
            let wall = jiff::civil::date(2014, 11, 2).at(hour.parse().unwrap(), minute.parse().unwrap(), 0, 0);
            clock.push(Some(Written::Local(wall, None)), None, || series.len() as u64);
        }
        let shown = |time: ReadTime| time.map_or("x".to_owned(), |time| time.to_string()[11..16].to_owned());
        clock.finish().into_iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_row_that_turns_back_begins_the_second_hour() {
        assert_eq!(read("0:00 1:00 1:00 2:00"), "04:00 05:00 06:00 07:00");
        assert_eq!(read("0:30 1:00 1:30 1:00 1:30 2:00"), "04:30 05:00 05:30 06:00 06:30 07:00");
        assert_eq!(read("0:00 1:00"), "04:00 05:00", "the second hour is still to come");
        assert_eq!(read("0:00 1:00 2:00"), "04:00 05:00 07:00", "a series that lacks it");
        assert_eq!(read("2:00 1:00 1:00 0:00"), "07:00 06:00 05:00 04:00", "newest first");
        assert_eq!(read("2:00 1:30 1:00 1:30 1:00"), "07:00 06:30 06:00 05:30 05:00");
    }

    #[test]
    fn each_series_has_its_own_order() {
        assert_eq!(read("a/0:00 bb/0:00 a/1:00 bb/1:00 a/1:00 bb/1:00"), "04:00 04:00 05:00 05:00 06:00 06:00");
        assert_eq!(read("a/0:00 a/1:00 bb/2:00 bb/1:00 bb/1:00"), "04:00 05:00 07:00 06:00 05:00");
    }

    #[test]
    fn a_window_that_begins_in_the_doubled_hour_follows_from_what_follows() {
        assert_eq!(read("1:00 1:00 2:00"), "05:00 06:00 07:00");
        assert_eq!(read("1:30 2:00 3:00"), "06:30 07:00 08:00");
        assert_eq!(read("1:15 1:30 1:45 1:00 2:00"), "05:15 05:30 05:45 06:00 07:00");
        assert_eq!(read("1:00 1:00 0:00"), "06:00 05:00 04:00", "newest first");
        assert_eq!(read("1:00 0:00"), "05:00 04:00");
        assert_eq!(read("1:00"), "x");
        assert_eq!(read("1:00 1:00"), "x x", "newest first or last");
    }

    #[test]
    fn a_third_occurrence_is_refused() {
        assert_eq!(read("0:00 1:00 1:00 1:00 2:00"), "04:00 05:00 06:00 x 07:00");
        assert_eq!(read("1:00 1:00 1:00 2:00"), "x x x 07:00");
        assert_eq!(read("0:00 1:00 2:00 3:00 1:00 4:00"), "04:00 05:00 07:00 08:00 x 09:00", "a row out of order");
    }

    #[test]
    fn what_comes_later_changes_nothing_of_a_series_that_began_before() {
        let whole = "0:00 1:00 1:15 1:30 1:00 1:30 1:00 2:00 3:00";
        let rows: Vec<&str> = whole.split(' ').collect();
        let instants = read(whole);
        for count in 1..rows.len() {
            assert!(instants.starts_with(&read(&rows[..count].join(" "))), "{count}");
        }
    }
}
