//! A drought outlook: where the percentile of the season has been and may go, and how likely each class is in each week, beside climatology and
//! persistence.

use jiff::tz::TimeZone;
use nilometer_schemas::Timestamp;
use nilometer_statistics::CLASS_PERCENTILES;

use super::{
    scale::{Time, percent},
    strip::{Days, NAMED},
    svg::{Anchor, Svg, ink},
};

const HEIGHT: f64 = 540.0;
const WEEK_S: i64 = 7 * 86_400;
/// Rows of the drawing, from the top.
const PERCENTILES: [f64; 2] = [116.0, 270.0];
const ODDS: [f64; 2] = [330.0, 460.0];
/// The class that the sentence is about.
const SAID: usize = 2;
/// Room for the bars of climatology and persistence, in weeks, and where they stand in it; of a page and of a phone.
const BESIDE: [(f64, [f64; 2]); 2] = [(3.4, [0.7, 2.3]), (6.6, [1.2, 4.7])];

/// What an outlook says of one index of a catchment.
pub struct Outlook<'a> {
    pub title: String,
    pub zone: TimeZone,
    pub issue_time: Timestamp,
    /// percentiles until then
    pub days: &'a Days,
    /// class of persistence
    pub class_now: Option<usize>,
    pub weeks: Vec<Week>,
}

/// One week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Week {
    pub valid_time: Timestamp,
    /// probability of each class or worse
    pub at_least: [f64; 5],
    /// that it has been there by then
    pub reached: [f64; 5],
    /// percentiles that 5, 50 and 95 % of the trajectories lie below
    pub percentiles: [f64; 3],
}

impl Outlook<'_> {
    /// Draws it, so many pixels wide.
    pub fn draw(&self, width: f64) -> String {
        let narrow = width < 600.0;
        let weeks = self.weeks.len() as f64;
        let (left, right) = (if narrow { 48.0 } else { 64.0 }, width - 20.0);
        let (beside, bars) = BESIDE[usize::from(narrow)];
        let past = if narrow { 6.0 } else { weeks };
        let week_width = (right - left) / (past + weeks + beside);
        let last = self.weeks.last().map_or(self.issue_time, |week| week.valid_time);
        let time = Time {
            from: self.issue_time.plus_s(-(past as i64) * WEEK_S),
            to: last,
            left,
            right: right - beside * week_width,
            zone: self.zone.clone(),
            narrow,
        };
        let mut svg = Svg::new(width, HEIGHT);
        svg.text((20.0, 28.0), Anchor::Start, 14.0, ink::TEXT, true, &self.title);
        let [what, odds] = self.sentence();
        if narrow {
            svg.text((20.0, 50.0), Anchor::Start, 15.0, ink::TEXT, true, &what);
            svg.text((20.0, 69.0), Anchor::Start, 15.0, ink::TEXT, true, &odds);
        } else {
            svg.text((20.0, 54.0), Anchor::Start, 20.0, ink::TEXT, true, &format!("{what} {odds}"));
        }
        self.percentiles(&mut svg, &time);
        self.odds(&mut svg, &time, (week_width, bars), right);
        key(&mut svg, left);
        let now = time.x(self.issue_time);
        svg.line(&[(now, PERCENTILES[0] - 12.0), (now, ODDS[1])], ink::TEXT, 1.0, "");
        let label = format!("issued {}", time.day(self.issue_time));
        let half = 7.4 * label.chars().count() as f64 / 2.0 + 6.0;
        svg.rectangle(now - half, PERCENTILES[0] - 30.0, 2.0 * half, 18.0, ink::TEXT);
        svg.plain_text((now, PERCENTILES[0] - 17.0), 12.0, ink::GROUND, &label);
        svg.finish()
    }

    fn sentence(&self) -> [String; 2] {
        let odds = self.weeks.last().map_or(0.0, |week| week.reached[SAID]);
        let weeks = format!("within {} weeks: {}", self.weeks.len(), percent(odds));
        ["Severe drought (D2) or worse".to_owned(), weeks]
    }

    fn percentiles(&self, svg: &mut Svg, time: &Time) {
        // The dry end has the room.
        let y = |percentile: f64| PERCENTILES[1] - (percentile / 100.0).sqrt() * (PERCENTILES[1] - PERCENTILES[0]);
        // On a phone the label of the issue time takes its place.
        let (x, anchor, label) = match time.narrow {
            true => (time.right, Anchor::End, "percentile"),
            false => (20.0, Anchor::Start, "percentile of the season"),
        };
        svg.text((x, PERCENTILES[0] - 18.0), anchor, 12.0, ink::LABEL, false, label);
        for percentile in NAMED {
            svg.line(&[(time.left, y(percentile)), (time.right, y(percentile))], ink::RULE, 1.0, "");
            let label = percentile.to_string();
            svg.text((time.left - 6.0, y(percentile) + 4.0), Anchor::End, 11.0, ink::LABEL, false, &label);
        }
        let now = self.days.range(..=self.issue_time).rev().find_map(|(_, (percentile, _))| *percentile);
        let side = |at: usize| {
            let of_week = move |week: &Week| (time.x(week.valid_time), y(week.percentiles[at]));
            let first = now.map(|percentile| (time.x(self.issue_time), y(percentile)));
            first.into_iter().chain(self.weeks.iter().map(of_week)).collect::<Vec<_>>()
        };
        let mut fan = side(0);
        fan.extend(side(2).into_iter().rev());
        svg.area(&fan, ink::FAN_90);
        svg.line(&side(1), ink::SECOND, 1.75, "");
        let mut points = Vec::new();
        for (at, (percentile, _)) in self.days.range(time.from..=self.issue_time) {
            match percentile {
                Some(percentile) => points.push((time.x(*at), y(*percentile))),
                None => svg.line(&std::mem::take(&mut points), ink::TEXT, 1.5, ""),
            }
        }
        svg.line(&points, ink::TEXT, 1.5, "");
        for tick in time.ticks().into_iter().filter(|tick| !tick.label.is_empty()) {
            svg.text(
                (time.x(tick.at), PERCENTILES[1] + 18.0),
                Anchor::Middle,
                12.0,
                ink::SECOND,
                tick.major,
                &tick.label,
            );
        }
        svg.line(&[(time.left, PERCENTILES[1]), (time.right, PERCENTILES[1])], ink::AXIS, 1.0, "");
    }

    fn odds(&self, svg: &mut Svg, time: &Time, (week_width, bars): (f64, [f64; 2]), right: f64) {
        let narrow = time.narrow;
        let label = if narrow { "odds by week" } else { "odds of each class or worse, by week" };
        svg.text((20.0, ODDS[0] - 14.0), Anchor::Start, 12.0, ink::LABEL, false, label);
        let y = |probability: f64| ODDS[1] - probability * (ODDS[1] - ODDS[0]);
        for share in [0.0, 0.5, 1.0] {
            svg.line(&[(time.left, y(share)), (right, y(share))], ink::RULE, 1.0, "");
            let label = format!("{:.0} %", 100.0 * share);
            svg.text((time.left - 6.0, y(share) + 4.0), Anchor::End, 11.0, ink::LABEL, false, &label);
        }
        let mut bar = |x: f64, at_least: [f64; 5]| {
            for (class, probability) in at_least.into_iter().enumerate() {
                let top = y(probability);
                svg.rectangle(x + 1.5, top, week_width - 3.0, ODDS[1] - top, ink::DROUGHT[class]);
            }
        };
        for week in &self.weeks {
            bar(time.x(week.valid_time.plus_s(-WEEK_S)), week.at_least);
        }
        let persisted =
            std::array::from_fn(|class| f64::from(u8::from(self.class_now.is_some_and(|now| now >= class))));
        let beside = [
            (bars[0], CLASS_PERCENTILES.map(|limit| limit / 100.0), ["climat-", "ology"]),
            (bars[1], persisted, ["persist-", "ence"]),
        ];
        for (at, at_least, _) in beside {
            bar(time.right + at * week_width, at_least);
        }
        for (at, _, words) in beside {
            for (line, word) in words.into_iter().enumerate() {
                let place = (time.right + (at + 0.5) * week_width, ODDS[1] + 16.0 + 13.0 * line as f64);
                svg.text(place, Anchor::Middle, if narrow { 10.0 } else { 11.0 }, ink::SECOND, false, word);
            }
        }
        for (number, week) in self.weeks.iter().enumerate().filter(|(number, _)| !narrow || number % 3 == 0) {
            let x = time.x(week.valid_time.plus_s(-WEEK_S / 2));
            svg.text((x, ODDS[1] + 16.0), Anchor::Middle, 11.0, ink::SECOND, false, &(number + 1).to_string());
        }
        svg.line(&[(time.left, ODDS[1]), (right, ODDS[1])], ink::AXIS, 1.0, "");
    }
}

/// What the shades are.
fn key(svg: &mut Svg, left: f64) {
    for (class, colour) in ink::DROUGHT.into_iter().enumerate() {
        let x = left + 52.0 * class as f64;
        svg.rectangle(x, HEIGHT - 38.0, 14.0, 14.0, colour);
        svg.text((x + 19.0, HEIGHT - 26.0), Anchor::Start, 12.0, ink::SECOND, false, &format!("D{class}"));
    }
}
