//! One forecast: what it says of the river and of each threshold, above what has led to it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use nilometer_archive::Forecast;
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};

use super::{
    scale::{Time, Values, flow, percent, written},
    svg::{Anchor, Svg, ink},
};

const HEIGHT: f64 = 640.0;
/// Without thresholds there are no odds.
const HEIGHT_WITHOUT_ODDS: f64 = 510.0;
const DAY_S: i64 = 86_400;
/// Rows of the drawing, from the top.
const RAIN: [f64; 2] = [112.0, 160.0];
const FLOW: [f64; 2] = [190.0, 470.0];
const ODDS: [f64; 2] = [540.0, 600.0];
/// Most of the flow axis that a threshold may ask for beyond what is drawn.
const REACH: f64 = 1.6;

/// What one forecast says, and what has led to it.
pub struct Forecasted<'a> {
    pub title: String,
    pub zone: TimeZone,
    pub issue_time: Timestamp,
    /// what the gauge read, m³ s⁻¹; what is behind the issue time is drawn as what came
    pub observed: &'a BTreeMap<Timestamp, f64>,
    /// in the order of lead times
    pub leads: Vec<&'a Forecast>,
    /// mm in the step that ends at each time
    pub rain: &'a BTreeMap<Timestamp, f64>,
    pub thresholds: Vec<Threshold>,
}

/// What it says of a threshold.
pub struct Threshold {
    pub name: String,
    pub level_m3_s: f64,
    pub below: bool,
    pub probability: f64,
    /// quantiles at 0.1 and 0.9 of when it is reached
    pub crossing: Option<[Timestamp; 2]>,
    /// by valid time, of being beyond it
    pub by_time: Vec<(Timestamp, f64)>,
    /// what each issue until this one said of its horizon
    pub by_issue: Vec<Odds>,
}

/// What an issue said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Odds {
    pub issue_time: Timestamp,
    pub probability: f64,
}

impl Forecasted<'_> {
    /// Draws it, so many pixels wide: 960 for a page, 400 for a phone.
    pub fn draw(&self, width: f64) -> String {
        let narrow = width < 600.0;
        let last = self.leads.last().map_or(self.issue_time.plus_s(DAY_S), |lead| lead.valid_time);
        let ahead_s = last.seconds_since(self.issue_time);
        let time = Time {
            from: self.issue_time.plus_s(-ahead_s.min(if narrow { ahead_s / 2 } else { ahead_s })),
            to: last,
            left: if narrow { 40.0 } else { 64.0 },
            right: width - 20.0,
            zone: self.zone.clone(),
            narrow,
        };
        let odds = !self.thresholds.is_empty();
        let mut svg = Svg::new(width, if odds { HEIGHT } else { HEIGHT_WITHOUT_ODDS });
        self.words(&mut svg, &time, narrow);
        self.time_axis(&mut svg, &time);
        self.rain(&mut svg, &time);
        self.flow(&mut svg, &time, narrow);
        self.odds(&mut svg, &time, narrow);
        // The line of the issue time goes through all panels.
        let now = time.x(self.issue_time);
        let below = if odds { ODDS[1] } else { FLOW[1] };
        svg.line(&[(now, RAIN[0] - 14.0), (now, below)], ink::TEXT, 1.0, "");
        let label = format!(
            "issued {}",
            if ahead_s > 4 * DAY_S { time.day(self.issue_time) } else { time.hour(self.issue_time, self.issue_time) }
        );
        let half = 7.4 * label.chars().count() as f64 / 2.0 + 6.0;
        svg.rectangle(now - half, RAIN[0] - 30.0, 2.0 * half, 18.0, ink::TEXT);
        svg.plain_text((now, RAIN[0] - 17.0), 12.0, ink::GROUND, &label);
        svg.finish()
    }

    fn words(&self, svg: &mut Svg, time: &Time, narrow: bool) {
        let (left, size) = (time.left.min(20.0), if narrow { 17.0 } else { 22.0 });
        svg.text((left, 28.0), Anchor::Start, 14.0, ink::TEXT, true, &self.title);
        let zone = match narrow {
            true => time.zone_name(),
            false => format!("{} · {}", time.says(self.issue_time), time.zone_name()),
        };
        svg.text((time.right, 28.0), Anchor::End, 12.0, ink::LABEL, false, &zone);
        let sentence = self.sentence(time);
        // On a phone the window stands below.
        let (first, second) = sentence.split_once(", ").filter(|_| narrow).unwrap_or((&sentence, ""));
        svg.text((left, 52.0), Anchor::Start, size, ink::TEXT, true, first);
        svg.text((left, 72.0), Anchor::Start, 14.0, ink::SECOND, false, second);
    }

    /// What comes of the threshold that says most: the highest that is more likely than not to be reached, else the likeliest.
    fn sentence(&self, time: &Time) -> String {
        let likely = self.thresholds.iter().rfind(|t| t.probability >= 0.5);
        let most = || self.thresholds.iter().max_by(|a, b| a.probability.total_cmp(&b.probability));
        let Some(threshold) = likely.or_else(most) else {
            let peak = self.leads.iter().map(|lead| lead.quantiles[QUANTILE_LEVELS.len() / 2]).fold(0.0, f64::max);
            return format!("Up to {} m³/s.", flow(peak));
        };
        let level = written((threshold.level_m3_s * 100.0).round() / 100.0);
        let window = threshold.crossing.map_or_else(String::new, |[from, to]| {
            let (from, to) = (from.floor_s(3_600), to.ceil_s(3_600));
            format!(", most likely {}–{}", time.hour(from, self.issue_time), time.hour(to, from))
        });
        let side = if threshold.below { "less than " } else { "" };
        format!("{} chance of {side}{level} m³/s{window}.", percent(threshold.probability))
    }

    fn time_axis(&self, svg: &mut Svg, time: &Time) {
        for tick in time.ticks() {
            let x = time.x(tick.at);
            if tick.label.is_empty() {
                svg.line(&[(x, FLOW[1]), (x, FLOW[1] + 4.0)], ink::AXIS, 1.0, "");
                continue;
            }
            svg.line(&[(x, RAIN[0]), (x, FLOW[1] + 6.0)], ink::RULE, 1.0, "");
            if !self.thresholds.is_empty() {
                svg.line(&[(x, ODDS[0]), (x, ODDS[1])], ink::RULE, 1.0, "");
            }
            if (time.left - 8.0..time.right - 8.0).contains(&x) {
                svg.text((x, FLOW[1] + 20.0), Anchor::Middle, 12.0, ink::SECOND, tick.major, &tick.label);
            }
        }
        svg.line(&[(time.left, FLOW[1]), (time.right, FLOW[1])], ink::AXIS, 1.0, "");
    }

    fn rain(&self, svg: &mut Svg, time: &Time) {
        let shown: Vec<(Timestamp, f64)> = self
            .rain
            .range(time.from..=time.to)
            .map(|(at, mm)| (*at, *mm))
            .filter(|(at, mm)| *mm > 0.0 && *at > time.from)
            .collect();
        let most = shown.iter().map(|(_, mm)| *mm).fold(0.0, f64::max);
        svg.line(&[(time.left, RAIN[0]), (time.right, RAIN[0])], ink::AXIS, 1.0, "");
        svg.text((time.left, RAIN[0] - 6.0), Anchor::Start, 12.0, ink::LABEL, false, "rain, mm");
        if most <= 0.0 {
            return;
        }
        let step_s = self.rain.keys().zip(self.rain.keys().skip(1)).map(|(a, b)| b.seconds_since(*a)).min();
        let wide = (time.x(time.from.plus_s(step_s.unwrap_or(3_600))) - time.left - 1.0).max(1.0);
        for (at, mm) in shown {
            let colour = if at > self.issue_time { ink::RAIN_AHEAD } else { ink::RAIN };
            svg.rectangle(time.x(at) - wide - 0.5, RAIN[0], wide, mm / most * (RAIN[1] - RAIN[0]), colour);
        }
        svg.text(
            (time.left - 6.0, RAIN[1]),
            Anchor::End,
            12.0,
            ink::LABEL,
            false,
            &written((most * 10.0).round() / 10.0),
        );
    }

    fn flow(&self, svg: &mut Svg, time: &Time, narrow: bool) {
        let drawn = self.leads.iter().map(|lead| lead.quantiles[QUANTILE_LEVELS.len() - 1]);
        let read = self.observed.range(time.from..=time.to).map(|(_, flow)| *flow);
        let most = drawn.chain(read).fold(0.0, f64::max);
        let thresholds: Vec<&Threshold> = self.thresholds.iter().filter(|t| t.level_m3_s <= REACH * most).collect();
        let values =
            Values::up_to(thresholds.iter().map(|t| t.level_m3_s * 1.08).fold(most, f64::max), FLOW[0], FLOW[1]);
        for (value, label) in values.ticks() {
            let y = values.y(value);
            svg.line(&[(time.left, y), (time.right, y)], ink::RULE, 1.0, "");
            // A threshold's own value takes the place of a tick beside it.
            if thresholds.iter().all(|threshold| (values.y(threshold.level_m3_s) - y).abs() > 12.0) {
                svg.text((time.left - 6.0, y + 4.0), Anchor::End, 12.0, ink::LABEL, false, &label);
            }
        }
        svg.text((time.left, FLOW[0] - 8.0), Anchor::Start, 12.0, ink::LABEL, false, "m³/s");
        for (low, high, colour) in [(0, 18, ink::FAN_90), (4, 14, ink::FAN_50)] {
            let edge = |level: usize| {
                let points = self.leads.iter().map(|lead| (time.x(lead.valid_time), values.y(lead.quantiles[level])));
                points.collect::<Vec<(f64, f64)>>()
            };
            let outline: Vec<(f64, f64)> = edge(high).into_iter().chain(edge(low).into_iter().rev()).collect();
            svg.area(&outline, colour);
        }
        for threshold in &thresholds {
            let y = values.y(threshold.level_m3_s);
            svg.line(&[(time.left, y), (time.right, y)], ink::SECOND, 1.0, "");
            let label = written((threshold.level_m3_s * 100.0).round() / 100.0);
            svg.text((time.left - 6.0, y + 4.0), Anchor::End, 12.0, ink::TEXT, true, &label);
            let odds = percent(threshold.probability);
            let said = if narrow {
                format!("{} {odds}", threshold.name)
            } else {
                self.threshold_words(threshold, time, &odds)
            };
            svg.text((time.left + 6.0, y - 5.0), Anchor::Start, 12.0, ink::TEXT, true, &said);
        }
        // What the newest reading says of all that comes.
        let newest = self.observed.range(..=self.issue_time).next_back().filter(|(at, _)| time.holds(**at));
        if let Some((at, value)) = newest {
            let y = values.y(*value);
            svg.line(&[(time.x(*at), y), (time.right, y)], ink::AXIS, 1.0, "2 4");
            svg.text((time.right, y - 4.0), Anchor::End, 11.0, ink::LABEL, false, "persistence");
        }
        let observed = |range: &mut dyn Iterator<Item = (&Timestamp, &f64)>| {
            range.map(|(at, value)| (time.x(*at), values.y(*value))).collect::<Vec<_>>()
        };
        svg.line(&observed(&mut self.observed.range(self.issue_time..=time.to)), ink::AXIS, 1.5, "");
        let median: Vec<(f64, f64)> =
            self.leads.iter().map(|lead| (time.x(lead.valid_time), values.y(lead.quantiles[9]))).collect();
        svg.line(&median, ink::TEXT, 1.75, "6 3");
        svg.line(&observed(&mut self.observed.range(time.from..=self.issue_time)), ink::TEXT, 2.25, "");
        if let Some((at, value)) = newest {
            let point = (time.x(*at), values.y(*value));
            svg.dot(point, 3.5, ink::TEXT);
            svg.text((point.0 - 8.0, point.1 - 8.0), Anchor::End, 13.0, ink::TEXT, true, &flow(*value));
        }
        self.fan_labels(svg, time, &values);
        for threshold in &thresholds {
            if let Some([from, to]) = threshold.crossing.filter(|_| threshold.probability >= 0.05) {
                let width = if threshold.probability >= 0.6 { 4.0 } else { 2.5 };
                let y = values.y(threshold.level_m3_s);
                svg.bracket(time.x(from), time.x(to).min(time.right), y, ink::URGENT, width);
            }
        }
    }

    fn threshold_words(&self, threshold: &Threshold, time: &Time, odds: &str) -> String {
        let window = threshold.crossing.map_or_else(String::new, |[from, to]| {
            let (from, to) = (from.floor_s(3_600), to.ceil_s(3_600));
            format!(", most likely {}–{}", time.hour(from, self.issue_time), time.hour(to, from))
        });
        format!("{}  {odds}{window}", threshold.name)
    }

    /// Names of the bands, inside of them where they are widest.
    fn fan_labels(&self, svg: &mut Svg, time: &Time, values: &Values) {
        let width = |low: usize, high: usize| move |lead: &&&Forecast| lead.quantiles[high] - lead.quantiles[low];
        for (low, high, label) in [(14, 18, "90 %"), (9, 14, "50 %")] {
            let room = |lead: &&Forecast| values.y(lead.quantiles[low]) - values.y(lead.quantiles[high]);
            let middle = |lead: &&Forecast| (values.y(lead.quantiles[low]) + values.y(lead.quantiles[high])) / 2.0;
            // Not where a bracket or a threshold's line is.
            let free = |lead: &&&Forecast| {
                let clear = self.thresholds.iter().all(|t| (values.y(t.level_m3_s) - middle(lead)).abs() > 14.0);
                clear && time.x(lead.valid_time) < time.right - 24.0
            };
            let inside = self.leads.iter().filter(free);
            let widest = inside.max_by(|a, b| width(low, high)(a).total_cmp(&width(low, high)(b)));
            if let Some(lead) = widest.filter(|lead| room(lead) > 18.0) {
                let y = middle(lead) + 4.0;
                svg.text((time.x(lead.valid_time), y), Anchor::Middle, 12.0, ink::SECOND, false, label);
            }
        }
    }

    fn odds(&self, svg: &mut Svg, time: &Time, narrow: bool) {
        if self.thresholds.is_empty() {
            return;
        }
        let y = |probability: f64| ODDS[1] - probability * (ODDS[1] - ODDS[0]);
        for (value, label) in [(0.0, "0"), (0.5, "50"), (1.0, "100")] {
            svg.line(&[(time.left, y(value)), (time.right, y(value))], ink::RULE, 1.0, "");
            svg.text((time.left - 6.0, y(value) + 4.0), Anchor::End, 12.0, ink::LABEL, false, label);
        }
        let now = time.x(self.issue_time);
        let (left, right) = if narrow {
            ("% by issue", "% by hour")
        } else {
            ("% chance within the horizon, by issue", "% chance of being there, by time")
        };
        svg.text((time.left, ODDS[0] - 8.0), Anchor::Start, 12.0, ink::LABEL, false, left);
        svg.text((now + 8.0, ODDS[0] - 8.0), Anchor::Start, 12.0, ink::LABEL, false, right);
        for (at, threshold) in self.thresholds.iter().enumerate() {
            let colour = if at + 1 == self.thresholds.len() { ink::URGENT } else { ink::SECOND };
            let issued = threshold.by_issue.iter().filter(|odds| time.holds(odds.issue_time));
            let points: Vec<(f64, f64)> = issued.map(|odds| (time.x(odds.issue_time), y(odds.probability))).collect();
            svg.line(&points, colour, 1.25, "");
            points.iter().for_each(|point| svg.dot(*point, 2.0, colour));
            let points: Vec<(f64, f64)> = threshold.by_time.iter().map(|(at, p)| (time.x(*at), y(*p))).collect();
            svg.line(&points, colour, 1.25, "4 3");
            // A name where its line rises above the half, or is highest.
            let highest = points.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
            let rises = points.iter().copied().find(|point| point.1 <= y(0.5)).or(highest);
            if let Some((x, at)) = rises.filter(|(_, at)| *at < y(0.03)) {
                let label = written((threshold.level_m3_s * 100.0).round() / 100.0);
                svg.text((x - 4.0, at - 2.0), Anchor::End, 12.0, colour, true, &label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp(1_415_059_200_000_000).plus_s(hour * 3_600)
    }

    #[test]
    fn a_forecast_without_an_observation_behind_it_is_drawn_with_its_odds_and_its_window() {
        let leads: Vec<Forecast> = (1..=24)
            .map(|hour| {
                let middle = 100.0 + 20.0 * f64::from(12 - (hour as i32 - 12).abs());
                Forecast {
                    issue_time: at(0),
                    valid_time: at(hour),
                    mean: middle,
                    simulated: middle,
                    quantiles: std::array::from_fn(|level| middle * (0.6 + 0.045 * level as f64)),
                    stage: None,
                }
            })
            .collect();
        let observed: BTreeMap<Timestamp, f64> = (-24..=0).map(|hour| (at(hour), 50.0 + hour as f64)).collect();
        let rain = (-24..=24).map(|hour| (at(hour), 1.5)).collect();
        let chart = Forecasted {
            title: "Cance at Sarras <&>".to_owned(),
            zone: TimeZone::get("Europe/Paris").unwrap_or(TimeZone::UTC),
            issue_time: at(0),
            observed: &observed,
            leads: leads.iter().collect(),
            rain: &rain,
            thresholds: vec![Threshold {
                name: "Minor flood".to_owned(),
                level_m3_s: 150.0,
                below: false,
                probability: 0.82,
                crossing: Some([at(4), at(7)]),
                by_time: (1..=24).map(|hour| (at(hour), 0.5)).collect(),
                by_issue: (-5..=0).map(|hour| Odds { issue_time: at(hour), probability: 0.4 }).collect(),
            }],
        };
        for width in [960.0, 400.0] {
            let svg = chart.draw(width);
            assert!(svg.contains("82 % chance of 150 m³/s") && svg.contains("05:00–08:00"), "{svg}");
            assert!(svg.contains("Cance at Sarras &lt;&amp;&gt;") && !svg.contains("NaN"));
            for label in ["06:00", "12:00", "90 %", "persistence", ">150<", "Minor flood"] {
                assert!(svg.contains(label), "{label}");
            }
            assert!(!svg.contains(".0<"), "an integer has no decimal");
        }
        let without = Forecasted { thresholds: Vec::new(), ..chart };
        assert!(without.draw(960.0).contains("Up to 342 m³/s.") && !without.draw(960.0).contains("% chance"));
    }
}
