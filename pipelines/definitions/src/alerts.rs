//! `[alerts]`: when a forecast or a reading deserves somebody's attention.

use std::collections::BTreeMap;

use nilometer_transforms::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Pipeline, Problem};

/// `[alerts]`: when a threshold is watched and warned of, and when that has passed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertOptions {
    /// probability that a threshold is reached within the horizon, from which on it is watched
    pub watch_probability: f64,
    /// the same, from which on it is warned of; a reading at or beyond the threshold is a warning by itself
    pub warning_probability: f64,
    /// below this a watch passes
    pub watch_until_probability: f64,
    /// below this a warning becomes a watch
    pub warning_until_probability: f64,
    /// how far readings must come back behind a threshold that they had reached, as a share of it
    pub margin: f64,
    /// how many issues in a row must say so before an alert falls
    pub issues: u32,
    /// how long an alert stays at least
    pub minimum_duration: Span,
    /// age of a station's newest reading from which on it is late; two steps and the sources' delay when absent
    pub late_after: Option<Span>,
    /// age from which on the station is silent; six steps and the sources' delay when absent
    pub silent_after: Option<Span>,
    /// whether those below hear of the alerts of a replay too, as in an exercise; the feed is written in any case
    pub replayed: bool,
    /// servers that call people
    pub alertmanager: Option<AlertmanagerOptions>,
    /// an address that hears of each change
    pub webhook: Option<WebhookOptions>,
    /// messages and a feed in the store
    pub feed: Option<FeedOptions>,
}

impl Default for AlertOptions {
    fn default() -> Self {
        Self {
            watch_probability: 0.3,
            warning_probability: 0.6,
            watch_until_probability: 0.15,
            warning_until_probability: 0.4,
            margin: 0.05,
            issues: 3,
            minimum_duration: Span::from_seconds(3_600),
            late_after: None,
            silent_after: None,
            replayed: false,
            alertmanager: None,
            webhook: None,
            feed: None,
        }
    }
}

impl AlertOptions {
    /// Ages of a newest reading, s: from which on a station is late, and silent.
    #[must_use]
    pub fn ages_s(&self, pipeline: &Pipeline) -> [i64; 2] {
        let observing = pipeline.sources.values().filter(|source| source.observes_discharge());
        let delay_s = observing.map(|source| source.delay.seconds() + source.period_s()).max().unwrap_or(0).max(0);
        let steps = |number: i64| delay_s + number * pipeline.time.step.seconds();
        let late_s = self.late_after.map_or_else(|| steps(2), Span::seconds);
        [late_s, self.silent_after.map_or_else(|| steps(6).max(late_s), Span::seconds)]
    }

    /// Every mistake, with what is accepted.
    pub(crate) fn problems(&self, problems: &mut Vec<Problem>) {
        let mut say = |key: &str, message: String| problems.push(Problem { path: format!("alerts.{key}"), message });
        for (key, value) in [
            ("watch_probability", self.watch_probability),
            ("warning_probability", self.warning_probability),
            ("watch_until_probability", self.watch_until_probability),
            ("warning_until_probability", self.warning_until_probability),
        ] {
            if !(0.0..=1.0).contains(&value) {
                say(key, format!("is {value}; accepted is 0 to 1"));
            }
        }
        for (key, value, above, most) in [
            ("watch_until_probability", self.watch_until_probability, "watch_probability", self.watch_probability),
            (
                "warning_until_probability",
                self.warning_until_probability,
                "warning_probability",
                self.warning_probability,
            ),
            ("watch_probability", self.watch_probability, "warning_probability", self.warning_probability),
        ] {
            if value > most {
                say(key, format!("is {value}; accepted is at most {above}, which is {most}"));
            }
        }
        if !(0.0..1.0).contains(&self.margin) {
            say("margin", format!("is {}; accepted is 0 to below 1", self.margin));
        }
        if self.issues == 0 {
            say("issues", "is 0; accepted is 1 or more".to_owned());
        }
        if self.minimum_duration.seconds() < 0 {
            say("minimum_duration", format!("is {}; accepted is 0s or more", self.minimum_duration));
        }
        self.receiver_problems(&mut say);
        for (key, span) in [("late_after", self.late_after), ("silent_after", self.silent_after)] {
            if let Some(span) = span.filter(|span| span.seconds() <= 0) {
                say(key, format!("is {span}; accepted is above 0s"));
            }
        }
        if let (Some(late), Some(silent)) = (self.late_after, self.silent_after)
            && silent < late
        {
            say("silent_after", format!("is {silent}; accepted is late_after ({late}) or more"));
        }
    }
}

/// `[alerts.alertmanager]`: servers of Prometheus Alertmanager, which call people, group and repeat.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerOptions {
    /// addresses of the servers of one cluster, as `http://alerts:9093`
    pub urls: Vec<String>,
    /// labels that every alert has beside its own
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// `[alerts.webhook]`: an address that is posted each change, in the shape of Alertmanager's webhook.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// the address
    pub url: String,
    /// environment variable that holds the secret which requests are signed with (HMAC-SHA-256); not signed when absent
    pub secret_variable: Option<String>,
}

/// `[alerts.feed]`: CAP 1.2 messages and an Atom feed of them, in the folder `feed` of the store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedOptions {
    /// who sends, unique in the world, without spaces, commas, `<` and `&`: as `floods@example.org`
    pub sender: String,
    /// what people call the sender
    pub sender_name: Option<String>,
    /// `test` until it is agreed on that messages are meant: `exercise` or `actual`
    #[serde(default)]
    pub status: CapStatus,
    /// title of the feed
    #[serde(default = "title")]
    pub title: String,
    /// address at which the folder is served, for links
    pub address: Option<String>,
}

/// What a CAP message is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CapStatus {
    /// not to be acted on
    #[default]
    Test,
    /// to be acted on by those who exercise
    Exercise,
    /// meant
    Actual,
}

impl CapStatus {
    /// The word in a message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "Test",
            Self::Exercise => "Exercise",
            Self::Actual => "Actual",
        }
    }
}

fn title() -> String {
    "Alerts".to_owned()
}

impl AlertOptions {
    fn receiver_problems(&self, say: &mut dyn FnMut(&str, String)) {
        let is_address = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if let Some(options) = &self.alertmanager {
            if options.urls.is_empty() {
                say("alertmanager.urls", "is empty; accepted is one address or more".to_owned());
            }
            for url in options.urls.iter().filter(|url| !is_address(url)) {
                say("alertmanager.urls", format!("has {url:?}; accepted is http:// or https:// and a host"));
            }
        }
        if let Some(options) = self.webhook.as_ref().filter(|options| !is_address(&options.url)) {
            say("webhook.url", format!("is {:?}; accepted is http:// or https:// and a host", options.url));
        }
        let unusable =
            |options: &&FeedOptions| options.sender.is_empty() || options.sender.contains([' ', ',', '<', '&']);
        if let Some(options) = self.feed.as_ref().filter(unusable) {
            let accepted = "accepted is a name without spaces, commas, < and &";
            say("feed.sender", format!("is {:?}; {accepted}", options.sender));
        }
    }
}
